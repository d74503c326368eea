//! The faults, each with the cases that must notice it.

/// How a fault shows itself in the cases that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// They fail each time.
    Always,
    /// They fail when others come between two of its steps, which they need not.
    InARace,
}

/// A fault, how it shows itself, and the cases in which it does.
pub(crate) type Noticed = (Fault, Shows, &'static [&'static str]);

/// Names the faults, and lists them by what they are of. Each shows itself always, unless it is said how it does.
macro_rules! faults {
    (@) => { Shows::Always };
    (@ $shows:ident) => { Shows::$shows };
    ($($list:ident { $($fault:ident $(($shows:ident))?: $($case:ident)+;)* })*) => {
        /// What is wrong with a storage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault {
            /// Nothing: it must pass every case.
            None,
            $($($fault,)*)*
        }

        $(pub(crate) const $list: &[Noticed] =
            &[$((Fault::$fault, faults!(@ $($shows)?), &[$(stringify!($case)),+])),*];)*
    };
}

faults! {
    LIFECYCLE {
        MigratingEmptiesIt: migrating_again_keeps_everything migrating_while_others_write_loses_nothing;
        ClosingDoesNothing: a_storage_answers_until_it_is_closed every_call_after_the_closing_is_unavailable;
        ReadsAfterTheClosing: every_call_after_the_closing_is_unavailable;
        EndsWithItsCaller: a_send_whose_caller_went_away_is_stored closing_finishes_what_was_begun
            what_was_begun_is_done_though_nobody_waits;
    }
    VALUES {
        TrimsTexts: texts_come_back_as_they_were;
        TrimsNames: names_of_every_kind_come_back_as_they_were texts_are_equal_only_byte_for_byte;
        AnEmptyTextIsNone: an_empty_text_is_not_an_absent_one;
        CaseIsThatOfUnicode: only_ascii_letters_have_no_case;
        NamesArePatterns: texts_are_equal_only_byte_for_byte;
        NamesOfFilesHaveNoCase: texts_are_equal_only_byte_for_byte;
        ClientIdsHaveNoCase: texts_are_equal_only_byte_for_byte
            a_client_id_is_the_senders_own_and_the_conversations;
        ClientIdsAreCut: texts_may_be_as_long_as_the_engine_takes_them;
        TimesAreUnsigned: times_are_whole_milliseconds_before_1970_too;
        TimesAreWholeSeconds: times_are_whole_milliseconds_before_1970_too;
        NumbersAreSigned: numbers_beyond_the_end_give_nothing;
        AsksForOneMore: numbers_may_be_as_large_as_they_come;
        ManyAreCutToAThousand: a_large_batch_is_stored;
    }
    USERS {
        EmailsHaveCase: emails_and_usernames_are_taken_whatever_their_case;
        UsernamesHaveCase: emails_and_usernames_are_taken_whatever_their_case;
        StoresWhatItRefuses: emails_and_usernames_are_taken_whatever_their_case;
        NamesAreLookedUpFirst (InARace): of_fifty_registrations_at_once_one_gets_the_name;
        HostUsersAreLookedUpFirst (InARace): a_host_user_made_by_many_at_once_is_one;
        HostUsersAreReplaced: a_host_user_keeps_all_but_name_picture_and_role;
        HostUsersGetANewId: a_host_user_is_made_once_and_then_brought_up_to_date;
        NamesOfHostUsersAreUnique: names_are_unique_only_among_those_who_log_in;
        HostUsersLogIn: names_are_unique_only_among_those_who_log_in;
        ContactsAreOfOpenConversations: contacts_are_all_who_share_a_conversation_now;
        ContactsStay: contacts_are_all_who_share_a_conversation_now;
        ContactsAreSorted: contacts_of_several_come_in_the_order_they_are_asked_for;
        ContactsComeTwice: contacts_are_all_who_share_a_conversation_now;
        AnyHashIsReplaced: a_password_hash_is_replaced_only_in_place_of_the_old_one;
        AnotherPasswordEndsNothing: another_password_ends_all_sessions_but_one;
        AnotherPasswordEndsAll: another_password_ends_all_sessions_but_one;
        UsersAreListedByCase: users_are_listed_in_order_and_found_by_how_their_names_begin;
        UsersAreFoundByAnyPart: users_are_listed_in_order_and_found_by_how_their_names_begin;
        APlaceOfUsersIsOnlyTheName: the_list_of_users_is_walked_without_gap_or_repeat;
        DisablingEndsNothing: one_who_is_disabled_has_no_session_left;
        TheLastAdministratorMayGo: the_last_administrator_who_can_log_in_stays
            of_administrators_who_demote_each_other_at_once_one_stays;
        AdministratorsAreCountedFirst: of_administrators_who_demote_each_other_at_once_one_stays;
    }
    SESSIONS {
        ThereIsNoGrace: a_parent_may_come_again_within_its_grace two_tabs_that_refresh_at_once_both_go_on;
        TheGraceNeverEnds: the_grace_begins_with_the_first_use;
        EachUseRenewsTheGrace: the_grace_begins_with_the_first_use;
        TheUseOfAChildIsForgotten: the_use_of_a_child_ends_the_grace a_grandparent_has_no_grace;
        ReuseIsOnlyRefused: the_grace_begins_with_the_first_use the_use_of_a_child_ends_the_grace;
        StoresTheChildOfAReusedToken: the_grace_begins_with_the_first_use;
        AnExpiredTokenRevokes: an_expired_refresh_token_is_invalid_and_changes_nothing;
        TokensOutliveTheirSession: an_expired_session_trades_nothing;
        RevokingForgetsTheTokens: a_revoked_session_trades_nothing;
        RevokingGivesTheDeadToo: revoking_all_sessions_of_a_user_gives_the_live_ones;
        RevokingHitsEveryone: revoking_all_sessions_of_a_user_gives_the_live_ones;
        GoneSessionsAreNotOver: sessions_that_are_revoked_or_gone_are_over;
        SessionsRememberTheirUser: a_session_shows_its_user_as_they_are_now;
        AnyPasswordIsProof: a_session_begins_only_for_one_who_may_sign_in
            no_session_of_the_old_password_is_left_by_a_race;
        ProofsAreLookedAtFirst: no_session_of_the_old_password_is_left_by_a_race;
        SessionsAreListedForEver: the_sessions_of_a_user_are_those_that_are_live;
        TheFirstSessionIsListedFirst: the_sessions_of_a_user_are_those_that_are_live;
        DeletesOnlyBefore: what_has_long_been_over_is_deleted_and_nothing_else;
        DeletesWhatIsLive: what_has_long_been_over_is_deleted_and_nothing_else;
        DeletesAllAtOnce: what_is_over_is_deleted_a_little_at_a_time;
    }
    FILES {
        StoredNamesAreGivenTwice: a_stored_name_is_given_once an_id_is_given_once;
        FilesStayForThoseWhoLeft: a_file_is_attached_for_those_who_are_in_the_conversation_now;
        AFileIsInOneConversation: a_file_in_two_conversations_stays_attached_when_one_is_left;
        BelievesTheSender: a_message_shows_the_file_that_it_carries;
        ThereIsNoQuota: the_files_of_a_user_are_as_many_bytes_as_they_may_be_and_no_more;
        QuotasAreForOneFile: the_files_of_a_user_are_as_many_bytes_as_they_may_be_and_no_more;
        QuotasAreLookedAtFirst: of_many_files_at_once_no_more_than_fit_are_stored;
        YoungFilesAreTakenAway: a_file_that_was_never_sent_is_taken_away_when_it_is_old;
        AllAreTakenAwayAtOnce: a_file_that_was_never_sent_is_taken_away_when_it_is_old;
        FilesAreLookedAtFirst: a_file_is_sent_or_taken_away_and_never_both;
        MadeFilesStayLoose: a_loose_name_is_known_until_it_is_forgotten;
        TheFirstWordOnALooseNameStands: a_loose_name_is_known_until_it_is_forgotten;
        LooseNamesHaveNoAge: a_loose_name_is_known_until_it_is_forgotten;
        LooseNamesAreByName: a_loose_name_is_known_until_it_is_forgotten;
        OneNameIsForgotten: a_loose_name_is_known_until_it_is_forgotten;
    }
    CONVERSATIONS {
        ParticipantsAreSortedByName: a_conversation_is_made_with_its_participants_in_their_order;
        TheUnknownAreLeftOut: a_conversation_with_someone_unknown_or_disabled_is_not_made;
        TheDisabledTakePart: a_conversation_with_someone_unknown_or_disabled_is_not_made;
        APairHasAnOrder: two_have_one_open_direct_conversation;
        GroupsCountAsDirect: two_have_one_open_direct_conversation;
        ClosedOnesStayInTheWay: a_direct_conversation_is_not_reopened_beside_another;
        LooksForADirectOneFirst (InARace): of_many_who_start_a_direct_conversation_at_once_one_does;
        OpensBesideAnother: a_direct_conversation_is_not_reopened_beside_another;
        LooksForAnOpenOneFirst (InARace): of_many_who_open_a_direct_conversation_again_at_once_one_does;
        ClosingTwiceIsTwoChanges: closing_and_opening_again_changes_once;
        ClosingForgets: a_closed_conversation_can_be_read;
        NamesAreThoseOfThen: names_are_shown_as_they_are_now;
        WhoLeftIsStillIn: the_standing_tells_what_decides;
        StandingsAreSorted: several_standings_are_told_in_the_order_they_are_asked_for;
    }
    PARTICIPANTS {
        CountsThemBeforeAdding (InARace): of_many_who_are_added_at_once_no_more_than_the_most_come;
        ThoseWhoAreThereCountTwice: participants_who_are_there_already_stay_as_they_are;
        ThoseWhoAreThereBeginAnew: participants_who_are_there_already_stay_as_they_are;
        AddsThoseItKnows: adding_is_all_or_nothing;
        TheLastNamedComesFirst: those_who_come_are_in_the_order_they_were_named;
        WhoComesBackHasTheirOldPlace: a_participant_who_leaves_is_gone_and_comes_back_last;
        LooksWhetherTheyAreInFirst (InARace): of_many_who_take_one_out_at_once_one_does;
    }
    LISTS {
        TheListIsById: the_list_is_newest_activity_first;
        TheSmallestIdIsFirst: ids_sort_by_their_bytes;
        APlaceIsOnlyItsTime: the_list_is_walked_without_gap_or_repeat
            the_list_of_all_is_walked_without_gap_or_repeat;
        APlaceMustBeTaken: the_list_goes_on_behind_a_place_where_nothing_is_any_more;
        AFullPageHasMore: the_list_is_walked_without_gap_or_repeat page_one_is_the_newest;
        AClockSetBackSinks: a_clock_that_is_set_back_does_not_sink_a_conversation;
        SendingDoesNotTouch: the_list_is_newest_activity_first
            all_that_happens_brings_a_conversation_to_the_top_but_reading;
        ReadingTouches: all_that_happens_brings_a_conversation_to_the_top_but_reading;
        ListsCountForTheirOwner: the_list_shows_what_the_reader_needs;
        KnownOnesComeAgain: what_is_not_known_is_walked_by_id_without_gap_or_repeat;
        UnknownOnesComeByActivity: what_is_not_known_is_walked_by_id_without_gap_or_repeat;
        TheListIsReadInTwoSteps (InARace): pages_hold_still_while_others_write;
    }
    APPENDING {
        NumbersAreOfAll: a_batch_keeps_its_order;
        WhatIsRefusedTakesANumber: one_bad_message_fails_alone;
        ARepeatTakesANumber: a_repeat_inside_one_batch_leaves_no_hole;
        ABatchIsTurnedRound: a_batch_keeps_its_order;
        StopsAtTheFirstBad: one_bad_message_fails_alone;
        KeepsHalfOfABatch: a_batch_that_fails_stores_nothing;
        LooksForMembersFirst (InARace): nothing_of_one_who_left_is_stored_after;
        ABatchIsSeenInParts (InARace): pages_hold_still_while_others_write;
    }
    REPEATS {
        ForgetsClientIds: fifty_repeats_at_once_store_one_message a_repeat_is_known_for_ever;
        RemembersTheLastHundred: a_repeat_is_known_for_ever;
        KnowsNoRepeatInABatch: a_repeat_inside_one_batch_leaves_no_hole;
        LooksForRepeatsFirst (InARace): fifty_repeats_at_once_store_one_message;
        WhateverComesAgainIsARepeat: a_client_id_for_something_else_is_refused;
        AClientIdIsForAllConversations: a_client_id_is_the_senders_own_and_the_conversations;
        AClientIdIsForAllSenders: a_client_id_is_the_senders_own_and_the_conversations;
        AClosedOneKnowsNoRepeat: decisions_are_made_in_order;
        WhoLeftMayRepeat: decisions_are_made_in_order;
        WhatIsRefusedTakesItsName: what_was_refused_leaves_its_client_id_free;
    }
    MESSAGES {
        PageOneIsTheOldest: page_one_is_the_newest;
        TheNewestIsThatOfThePage: page_one_is_the_newest;
        APageIsReadInTwoSteps (InARace): pages_hold_still_while_others_write;
        APageIsCutAtItsOtherEnd: a_page_ends_early_but_is_never_empty;
        ACutPageHasNoMore: a_page_ends_early_but_is_never_empty;
        ALongTextIsNoPage: a_page_ends_early_but_is_never_empty;
        LettersAreCounted: the_bytes_of_a_text_are_counted_not_its_letters;
        AnyoneMayRead: one_who_is_not_in_it_reads_nothing_unless_from_outside;
        NobodyReadsFromOutside: one_who_is_not_in_it_reads_nothing_unless_from_outside;
        WhoLeftIsStillThere: a_part_comes_with_how_its_reader_stands_and_who_is_still_there;
        AReaderStandsAsBefore: all_that_a_reader_gets_is_of_one_moment;
        SpansHaveNoEnd: spans_bring_exactly_their_messages_in_their_order;
        SpansAreNeverCut: spans_end_early_but_bring_something;
        ReadsAreSortedByName: a_page_shows_who_has_read;
        ReadsOfOneMomentComeAsTheyMay: ids_sort_by_their_bytes;
    }
    READING {
        ReadsOneByOne: reading_is_all_or_nothing;
        AnyoneReads: reading_is_for_participants;
        LooksForReadersFirst (InARace): nothing_is_read_by_one_who_left;
        LooksForReadersBeforeMessages: reading_looks_in_order;
        WithinIsIgnored: reading_is_all_or_nothing;
        OwnMessagesAreRead: own_messages_are_passed_over_when_read;
        ReadingAgainIsNew: reading_again_is_not_new what_is_read_at_once_by_many_counts_once;
        TheLastReadStands: reading_again_is_not_new;
        MarksComeAsNamed: reading_is_for_the_messages_named_only;
    }
    UNREAD {
        OwnMessagesAreUnread: own_messages_are_never_unread unread_counts_agree_with_a_naive_count;
        AbsenceIsUnread: what_was_said_in_absence_is_not_unread what_was_said_before_one_came_is_not_unread
            unread_counts_agree_with_a_naive_count;
        ReturningBeginsAnew: what_was_unread_at_leaving_is_unread_on_return
            unread_counts_agree_with_a_naive_count;
        ReadingReadsAllBefore: reading_is_for_the_messages_named_only unread_counts_agree_with_a_naive_count;
        WhoLeftHasUnread: one_who_left_has_nothing_unread unread_counts_agree_with_a_naive_count;
    }
    DELIVERY {
        DeliveryGoesBack: a_delivered_mark_never_goes_back;
        DeliveryJumps: a_delivered_mark_moves_only_over_what_touches_it;
        DeliveredToThoseWhoLeft: a_delivered_mark_begins_anew_on_return;
        OneDeliveredMarkCounts: delivered_marks_count_in_the_order_they_are_given;
        DeliveredMarksAreSorted: delivered_marks_count_in_the_order_they_are_given;
    }
    SUPPORT {
        IdentitiesAreMadeAnew: an_identity_is_one_visitor_however_often_it_comes;
        PagesAreForgotten: what_a_visitor_says_of_themselves_is_kept;
        NobodyIsGreeted: a_support_conversation_begins_with_its_greeting;
        AnyNumberOfThemIsOpen: of_many_that_a_visitor_opens_at_once_there_is_one;
        OpensSomebodyElses: what_is_carried_over_is_never_somebody_elses;
        NobodyWaits: a_visitor_waits_until_somebody_answers;
        WhatIsClosedIsGivenBack: what_an_agent_has_taken_on_is_found_until_they_are_out_of_it;
        TheQueueKeepsWhatIsTakenOn: the_inbox_is_listed_by_state_and_walked_without_gap_or_repeat;
        AgentsComeAsTheyMay: those_who_answer_are_found_by_a_part_of_their_names;
        TheLastToClaimHasIt: of_many_who_claim_at_once_one_has_it;
        ClaimsAreLookedAtFirst (InARace): of_many_who_claim_at_once_one_has_it;
    }
}
