//! Visitors of websites, their conversations, and who has taken those on.

use super::Store;
use super::fixtures::{
    accepted, account, append, assert_outcome, at, at_once, close, leave, named, new_user, page, read, send,
    stored, text, unread,
};
use crate::model::{
    Contact, Conversation, ConversationCursor, ConversationId, ConversationStatus, InboxState, MessageId,
    MessageRange, Role, User, UserChange, UserId, VisitedPage, Visitor,
};
use crate::storage::{
    Appended, Claim, Effect, Greeting, Opened, StatusChange, SupportRow, VisitorKey, VisitorRow,
};

fn visitor_row(token: Option<u8>, identity: Option<&str>) -> VisitorRow {
    VisitorRow {
        user: User { email: None, ..new_user("visitor") },
        token: token.map(|byte| [byte; 32]),
        identity: identity.map(str::to_owned),
        contact: Contact::default(),
    }
}

/// A visitor by a token.
async fn visitor(store: &Store, token: u8) -> UserId {
    store.create_visitor(&visitor_row(Some(token), None)).await.unwrap().user.id
}

/// Their open conversation, without a greeting.
async fn support(store: &Store, visitor: UserId) -> ConversationId {
    let row = SupportRow { id: ConversationId::new(), visitor, greeting: None, at: at(0) };
    match store.open_support(&row).await.unwrap() {
        Opened::Created(conversation) | Opened::Existing(conversation) => conversation.id,
        Opened::NoVisitor => panic!("there is no such visitor"),
    }
}

async fn claim(store: &Store, id: ConversationId, agent: UserId) -> Conversation {
    match store.claim_support(id, agent, at(0)).await.unwrap() {
        Claim::Claimed { conversation, .. } => conversation,
        other => panic!("{other:?}"),
    }
}

async fn find(store: &Store, key: VisitorKey) -> Option<Visitor> {
    store.visitor(&key).await.unwrap()
}

pub async fn a_visitor_is_found_by_what_they_are_known_by_and_cannot_log_in(store: &Store) {
    let row = visitor_row(Some(1), None);
    let made = store.create_visitor(&row).await.unwrap();
    assert_eq!((&made.user, &made.identity, &made.contact), (&row.user, &None, &row.contact));
    for key in [VisitorKey::User(row.user.id), VisitorKey::Token([1; 32])] {
        assert_eq!(find(store, key).await.as_ref(), Some(&made));
    }
    let ann = store.create_visitor(&visitor_row(None, Some("ann"))).await.unwrap();
    assert_eq!(find(store, VisitorKey::Identity("ann".into())).await, Some(ann));

    let alice = account(store, "alice").await;
    for key in [
        VisitorKey::User(alice),
        VisitorKey::Token([2; 32]),
        VisitorKey::Identity("Ann".into()),
        VisitorKey::Identity(String::new()),
    ] {
        assert_eq!(find(store, key).await, None);
    }
    assert_eq!(store.password_hash(row.user.id).await.unwrap(), None);
    // A token is given out once.
    assert!(store.create_visitor(&visitor_row(Some(1), None)).await.is_err());
}

pub async fn an_identity_is_one_visitor_however_often_it_comes(store: &Store) {
    let made = at_once(16, |_| {
        let store = store.clone();
        async move { store.create_visitor(&visitor_row(None, Some("ann"))).await.unwrap().user.id }
    })
    .await;
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    let known = find(store, VisitorKey::Identity("ann".into())).await.unwrap();
    assert_eq!(known.user.id, made[0]);
    let other = store.create_visitor(&visitor_row(None, Some("bob"))).await.unwrap();
    assert_ne!(other.user.id, made[0]);
}

pub async fn what_a_visitor_says_of_themselves_is_kept(store: &Store) {
    let id = visitor(store, 1).await;
    let page = VisitedPage { url: "https://shop.example/ä?b".into(), title: String::new() };
    let said = Contact { name: Some("Ann".into()), email: Some("a@b.co".into()), page: Some(page) };
    store.set_contact(id, &said).await.unwrap();
    let known = find(store, VisitorKey::User(id)).await.unwrap();
    assert_eq!((known.contact, known.user.username.as_str(), known.user.email), (said, "Ann", None));
    // All of it is said anew; a name that is not said stays the one that they are called by.
    store.set_contact(id, &Contact::default()).await.unwrap();
    let known = find(store, VisitorKey::User(id)).await.unwrap();
    assert_eq!((known.contact, known.user.username.as_str()), (Contact::default(), "Ann"));

    let alice = account(store, "alice").await;
    store.set_contact(alice, &Contact { name: Some("Eve".into()), ..Contact::default() }).await.unwrap();
    assert_eq!(store.user(alice).await.unwrap().unwrap().username, "alice", "she is no visitor");
}

pub async fn a_support_conversation_begins_with_its_greeting(store: &Store) {
    let (id, greeter) = (visitor(store, 1).await, account(store, "greeter").await);
    let greeting = Greeting { id: MessageId::new(), sender: greeter, content: "Hello!".into() };
    let row =
        SupportRow { id: ConversationId::new(), visitor: id, greeting: Some(greeting.clone()), at: at(5) };
    let Opened::Created(made) = store.open_support(&row).await.unwrap() else { panic!("it is the first") };
    assert_eq!((made.participant_ids(), made.created_by, made.last_seq), (vec![id], id, 1));
    let page = page(store, row.id, MessageRange::After(0), 10).await;
    let [item] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((item.message.id, item.message.sender.id, item.message.seq), (greeting.id, greeter, 1));
    assert_eq!(item.message.content, "Hello!");
    assert_eq!(unread(store, row.id, id).await, 1);
    assert_eq!(read(store, id, &[greeting.id]).await, [1]);
    // Whoever greets takes no part, and it is no answer.
    assert_outcome!(append(store, text(row.id, greeter, "again")).await, Appended::NotParticipant);
    assert!(store.inbox_item(row.id, None).await.unwrap().unwrap().waiting_since.is_none());

    let nobody = SupportRow { id: ConversationId::new(), visitor: greeter, greeting: None, at: at(0) };
    assert_outcome!(store.open_support(&nobody).await.unwrap(), Opened::NoVisitor);
    assert!(store.support_of(greeter).await.unwrap().is_none());
}

pub async fn of_many_that_a_visitor_opens_at_once_there_is_one(store: &Store) {
    let id = visitor(store, 1).await;
    let opened = at_once(16, |_| {
        let store = store.clone();
        async move { support(&store, id).await }
    })
    .await;
    assert!(opened.iter().all(|one| *one == opened[0]), "{opened:?}");
    assert_eq!(
        support(store, visitor(store, 2).await).await,
        support(store, visitor_of(store, 2).await).await
    );

    // One that is closed is in nobody's way, until it is to be opened again.
    close(store, opened[0]).await;
    assert_eq!(store.support_of(id).await.unwrap().unwrap().id, opened[0]);
    let second = support(store, id).await;
    assert_ne!(second, opened[0]);
    let again = store.set_status(opened[0], ConversationStatus::Open, at(0)).await.unwrap();
    assert_outcome!(again, StatusChange::DirectExists(other) if *other == second);
    assert_eq!(store.support_of(id).await.unwrap().unwrap().id, second);
}

async fn visitor_of(store: &Store, token: u8) -> UserId {
    find(store, VisitorKey::Token([token; 32])).await.unwrap().user.id
}

pub async fn a_message_of_its_visitor_opens_a_closed_one_and_no_other_does(store: &Store) {
    let (id, agent) = (visitor(store, 1).await, account(store, "agent").await);
    let conversation = support(store, id).await;
    claim(store, conversation, agent).await;
    let said = append(store, named(text(conversation, id, "help"), "a")).await;
    assert_outcome!(said, Appended::InSupport { effect: Effect::Begins, .. });
    close(store, conversation).await;
    assert_outcome!(append(store, text(conversation, agent, "bye")).await, Appended::Closed);
    // A repeat opens nothing.
    let repeat = append(store, named(text(conversation, id, "help"), "a")).await;
    assert_outcome!(repeat, Appended::Duplicate(_));
    assert!(!store.conversation(conversation).await.unwrap().unwrap().is_open());
    let again = append(store, text(conversation, id, "one more thing")).await;
    assert_outcome!(again, Appended::InSupport { effect: Effect::Reopens, message } if message.seq == 2);
    let open = store.conversation(conversation).await.unwrap().unwrap();
    assert_eq!((open.is_open(), open.last_seq), (true, 2));
    assert_eq!(unread(store, conversation, agent).await, 2);
    assert_eq!(stored(store, conversation).await, ["help", "one more thing"]);

    // Not beside another one that is open: of two in one batch only the first opens its own.
    close(store, conversation).await;
    let second = support(store, id).await;
    assert_outcome!(append(store, text(conversation, id, "no")).await, Appended::Closed);
    close(store, second).await;
    let batch = vec![text(conversation, id, "yes"), text(second, id, "no"), text(conversation, id, "too")];
    let outcomes = store.append_messages(batch).await.unwrap();
    let expected = matches!(
        &outcomes[..],
        [
            Appended::InSupport { effect: Effect::Reopens, .. },
            Appended::Closed,
            Appended::InSupport { effect: Effect::GoesOn, .. }
        ]
    );
    assert!(expected, "{outcomes:?}");
}

pub async fn what_is_carried_over_is_as_if_it_had_been_so_from_the_start(store: &Store) {
    let (from, agent) = (visitor(store, 1).await, account(store, "agent").await);
    let to = store.create_visitor(&visitor_row(None, Some("ann"))).await.unwrap().user.id;
    let conversation = support(store, from).await;
    send(store, conversation, from, "help").await;
    claim(store, conversation, agent).await;
    let answer = send(store, conversation, agent, "of course").await;
    send(store, conversation, agent, "how?").await;
    read(store, from, &[answer.id]).await;

    let carried = store.carry_support(from, to, at(9)).await.unwrap().unwrap();

    assert_eq!((carried.id, carried.created_by), (conversation, to));
    assert_eq!(carried.participant_ids(), [to, agent]);
    let page = page(store, conversation, MessageRange::After(0), 10).await;
    let senders: Vec<UserId> = page.items.iter().map(|item| item.message.sender.id).collect();
    assert_eq!(senders, [to, agent, agent]);
    assert_eq!(page.items[1].reads[0].user_id, to);
    assert_eq!(unread(store, conversation, to).await, 1);
    assert_eq!(store.support_of(to).await.unwrap().unwrap().id, conversation);
    assert_eq!(store.inbox_item(conversation, None).await.unwrap().unwrap().visitor_id, to);
    // The one it was is outside.
    assert!(store.support_of(from).await.unwrap().is_none());
    assert!(!store.standing(conversation, from).await.unwrap().unwrap().is_participant);
    assert_outcome!(append(store, text(conversation, from, "me?")).await, Appended::NotParticipant);
    assert_eq!(accepted(append(store, text(conversation, to, "so")).await).seq, 4);
    // And begins anew.
    assert_ne!(support(store, from).await, conversation);
}

pub async fn what_is_carried_over_is_never_somebody_elses(store: &Store) {
    let (from, to) = (visitor(store, 1).await, visitor(store, 2).await);
    assert!(store.carry_support(from, to, at(0)).await.unwrap().is_none(), "there is none");
    let (first, second) = (support(store, from).await, support(store, to).await);
    assert!(store.carry_support(from, to, at(0)).await.unwrap().is_none(), "they have one of their own");
    assert_eq!(store.support_of(from).await.unwrap().unwrap().id, first);
    assert_eq!(store.support_of(to).await.unwrap().unwrap().id, second);
    close(store, first).await;
    close(store, second).await;
    assert!(store.carry_support(from, to, at(0)).await.unwrap().is_none(), "it is closed");
}

pub async fn what_an_agent_has_taken_on_is_found_until_they_are_out_of_it(store: &Store) {
    let (agent, other) = (account(store, "agent").await, account(store, "other").await);
    let (one, two) = (visitor(store, 1).await, visitor(store, 2).await);
    let (first, second) = (support(store, one).await, support(store, two).await);
    super::fixtures::group(store, &[agent, other]).await;
    assert_eq!(store.supports_of(agent).await.unwrap(), []);
    for conversation in [first, second] {
        claim(store, conversation, agent).await;
    }
    close(store, second).await;
    let mut found = store.supports_of(agent).await.unwrap();
    found.sort_unstable();
    let mut both = [first, second];
    both.sort_unstable();
    assert_eq!(found, both);
    assert_eq!(store.supports_of(other).await.unwrap(), []);
    assert_eq!(store.supports_of(one).await.unwrap(), [], "it is about them");
    store.remove_participant(first, agent, at(9)).await.unwrap();
    assert_eq!(store.supports_of(agent).await.unwrap(), [second]);
}

pub async fn a_visitor_waits_until_somebody_answers(store: &Store) {
    let (id, agent) = (visitor(store, 1).await, account(store, "agent").await);
    let conversation = support(store, id).await;
    let item = |reader| async move { store.inbox_item(conversation, reader).await.unwrap().unwrap() };
    assert_eq!((item(None).await.waiting_since, item(None).await.summary.unread), (None, 0));
    for seconds in [7, 8] {
        let row = text(conversation, id, "help");
        append(store, crate::storage::NewMessageRow { at: at(seconds), ..row }).await;
    }
    let waiting = item(Some(agent)).await;
    assert_eq!((waiting.waiting_since, waiting.summary.unread, waiting.visitor_id), (Some(at(7)), 2, id));
    assert_eq!(waiting.summary.last_message.unwrap().seq, 2);
    claim(store, conversation, agent).await;
    assert_eq!(item(Some(agent)).await.waiting_since, Some(at(7)), "that is no answer");
    send(store, conversation, agent, "yes?").await;
    let answered = item(None).await;
    assert_eq!((answered.waiting_since, answered.summary.unread), (None, 0));
    assert_eq!(answered.assignee.map(|assignee| assignee.id), Some(agent));

    let group = super::fixtures::group(store, &[agent]).await;
    assert!(store.inbox_item(group, None).await.unwrap().is_none());
    assert!(store.inbox_item(ConversationId::new(), None).await.unwrap().is_none());
}

pub async fn the_inbox_is_listed_by_state_and_walked_without_gap_or_repeat(store: &Store) {
    let (agent, other) = (account(store, "agent").await, account(store, "other").await);
    super::fixtures::group(store, &[agent]).await;
    let mut all = Vec::new();
    for token in 0..9 {
        let id = visitor(store, token).await;
        let conversation = support(store, id).await;
        let row = text(conversation, id, "help");
        // Two of each moment.
        append(store, crate::storage::NewMessageRow { at: at(i64::from(token / 2)), ..row }).await;
        all.push(conversation);
    }
    // The ids of one millisecond are in no order.
    all.chunks_mut(2).for_each(<[_]>::sort_unstable);
    let silent = support(store, visitor(store, 100).await).await;
    let ids = |state, reader| async move {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.inbox(state, reader, after, 2).await.unwrap();
            found.extend(page.items.iter().map(|item| item.summary.conversation.id));
            let Some(last) = page.items.last().filter(|_| page.has_more) else { return found };
            let last = &last.summary.conversation;
            after = Some(ConversationCursor { updated_at: last.updated_at, id: last.id });
        }
    };
    let expected: Vec<ConversationId> = all.iter().rev().copied().collect();
    assert_eq!(ids(InboxState::Unassigned, agent).await, expected, "newest first, and none without a word");
    let open = ids(InboxState::Open, agent).await;
    assert_eq!((open.len(), open.contains(&silent)), (10, true));
    assert_eq!(ids(InboxState::Closed, agent).await, []);

    claim(store, all[3], agent).await;
    claim(store, all[4], other).await;
    close(store, all[5]).await;
    assert_eq!(ids(InboxState::Mine, agent).await, [all[3]]);
    assert_eq!(ids(InboxState::Mine, other).await, [all[4]]);
    assert_eq!(ids(InboxState::Closed, agent).await, [all[5]]);
    let left = ids(InboxState::Unassigned, agent).await;
    assert!(left.len() == 6 && [3, 4, 5].iter().all(|taken| !left.contains(&all[*taken])), "{left:?}");
}

pub async fn those_who_answer_are_found_by_a_part_of_their_names(store: &Store) {
    account(store, "annabel").await;
    let mut known = Vec::new();
    for (name, role) in
        [("Hanna", Role::Agent), ("bo", Role::Agent), ("ANN", Role::Admin), ("off", Role::Agent)]
    {
        let user = User { role, ..new_user(name) };
        assert!(store.create_account(&user, "hash").await.unwrap());
        known.push(user.id);
    }
    let disabled = UserChange { role: None, disabled: Some(true) };
    store.update_user(known[3], disabled, at(0)).await.unwrap();
    let names = |part: &'static str, limit| async move {
        let agents = store.agents(part, limit).await.unwrap();
        agents.into_iter().map(|user| user.username).collect::<Vec<_>>()
    };
    assert_eq!(names("", 10).await, ["ANN", "bo", "Hanna"]);
    assert_eq!(names("aNN", 10).await, ["ANN", "Hanna"]);
    assert_eq!(names("", 2).await, ["ANN", "bo"]);
    assert_eq!(names("%", 10).await, [""; 0]);
}

pub async fn of_many_who_claim_at_once_one_has_it(store: &Store) {
    let conversation = support(store, visitor(store, 1).await).await;
    let mut agents = Vec::new();
    for n in 0..8 {
        agents.push(account(store, &format!("agent{n}")).await);
    }
    let claims = at_once(8, |n| {
        let (store, agent) = (store.clone(), agents[usize::from(n)]);
        async move { (agent, store.claim_support(conversation, agent, at(1)).await.unwrap()) }
    })
    .await;
    let won: Vec<UserId> = claims
        .iter()
        .filter(|(_, claim)| matches!(claim, Claim::Claimed { .. }))
        .map(|(agent, _)| *agent)
        .collect();
    assert_eq!(won.len(), 1, "{claims:?}");
    for (_, claim) in claims {
        assert!(matches!(&claim, Claim::Claimed { .. } | Claim::Taken(_)), "{claim:?}");
        if let Claim::Taken(assignee) = claim {
            assert_eq!(assignee.id, won[0]);
        }
    }
    let item = store.inbox_item(conversation, None).await.unwrap().unwrap();
    assert_eq!(item.assignee.map(|assignee| assignee.id), Some(won[0]));
    assert_eq!(item.summary.conversation.participants.len(), 2);
    // Theirs stays theirs.
    let again = store.claim_support(conversation, won[0], at(2)).await.unwrap();
    assert_outcome!(again, Claim::Claimed { was_in: true, .. });

    let group = super::fixtures::group(store, &[won[0]]).await;
    for none in [group, ConversationId::new()] {
        assert_outcome!(store.claim_support(none, won[0], at(0)).await.unwrap(), Claim::NotFound);
    }
}

pub async fn one_who_is_taken_out_of_a_support_conversation_has_not_taken_it_on(store: &Store) {
    let (id, agent) = (visitor(store, 1).await, account(store, "agent").await);
    let other = account(store, "other").await;
    let conversation = support(store, id).await;
    send(store, conversation, id, "help").await;
    claim(store, conversation, agent).await;
    assert_eq!(unread(store, conversation, agent).await, 0, "it was said before they came");
    leave(store, conversation, agent).await;
    assert!(store.inbox_item(conversation, None).await.unwrap().unwrap().assignee.is_none());
    claim(store, conversation, other).await;
    super::fixtures::add(store, conversation, agent).await;
    leave(store, conversation, agent).await;
    let item = store.inbox_item(conversation, None).await.unwrap().unwrap();
    assert_eq!(item.assignee.map(|assignee| assignee.id), Some(other), "it was not theirs");
}
