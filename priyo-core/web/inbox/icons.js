// The drawings: one path each in a square of 24, drawn with a line of the text's colour.

export const paths = {
  chat: "M5 5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-5 4v-4H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z",
  waiting: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2",
  mine: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5",
  open: "M4 13l2.5-8h11l2.5 8v6H4zM4 13h5l1 2.5h4l1-2.5h5",
  closed: "M4 12.5l5 5L20 6.5",
  team: "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 19c.6-3 3.3-4.5 6.5-4.5s5.9 1.5 6.5 4.5M16 5.3a3.5 3.5 0 0 1 0 6.4M18 15c2 .6 3.2 2 3.5 4",
  compose: "M12 5H6a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-6M9.5 14.5l.6-3 8-8 2.4 2.4-8 8z",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10M18 10h.01",
  leave: "M14 4H6v16h8M10 12h10M16.5 8.5L20 12l-3.5 3.5",
  back: "M15 5l-7 7 7 7",
  details: "M4 5h16v14H4zM14.5 5v14",
  attach: "M19.5 11.5l-7.5 7.5a4.8 4.8 0 0 1-7-7l8-8a3.2 3.2 0 0 1 4.6 4.6l-7.8 7.8a1.6 1.6 0 0 1-2.3-2.3l7-7",
  send: "M4 12L20 4l-5.5 16-3-6.5zM11.5 13.5L20 4",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  cross: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  sound: "M4 9.5v5h3.5L12 19V5L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  muted: "M4 9.5v5h3.5L12 19V5L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  page: "M4 5h16v14H4zM4 9h16M7 7h.01",
  alert: "M12 4L2.5 20h19zM12 10v4.5M12 17.3h.01",
};
