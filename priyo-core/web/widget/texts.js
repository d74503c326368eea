// What the widget says, in the visitor's language.

const LANGUAGES = {
  bn: () => import("./locales/bn.js"),
  de: () => import("./locales/de.js"),
  en: () => import("./locales/en.js"),
  es: () => import("./locales/es.js"),
};

/** The texts of a locale such as `de-AT`, with what it takes to say times, days and numbers. */
export async function textsOf(locale) {
  const language = locale.slice(0, 2).toLowerCase();
  const { default: texts } = await LANGUAGES[language]();
  // A page may say `en_US`, which no format takes.
  const tag = /^[a-z]+(-[a-z\d]+)*$/i.test(locale) ? locale : language;
  const format = (time, options) => new Intl.DateTimeFormat(tag, options).format(new Date(time));
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
  return {
    ...texts,
    tag,
    unread: (count) => (count === 1 ? texts.unread : texts.unreads).replace("#", count.toLocaleString(tag)),
    time: (time) => format(time, { timeStyle: "short" }),
    day(time) {
      // A day may have 23 hours.
      const ago = Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
      if (ago < 2) return new Intl.RelativeTimeFormat(tag, { numeric: "auto" }).format(-ago, "day");
      return format(time, { dateStyle: "long" });
    },
  };
}
