// Texts that would run as a script where a page reads text as markup, and how one learns that none did.

/** What every vector calls. */
const RUN = "window.__ran=(window.__ran||0)+1";

/** Forty ways. Each is shown as it was written, or something is wrong. */
export const VECTORS = [
  `<script>${RUN}</script>`,
  `<ScRiPt>${RUN}</sCrIpT>`,
  `<script src="data:text/javascript,${RUN}"></script>`,
  `<script\n>${RUN}</script\n>`,
  `"><script>${RUN}</script>`,
  `'><script>${RUN}</script>`,
  `</textarea><script>${RUN}</script>`,
  `</title><script>${RUN}</script>`,
  `</style><script>${RUN}</script>`,
  `--><script>${RUN}</script>`,
  `]]><script>${RUN}</script>`,
  `<img src=x onerror="${RUN}">`,
  `<img src=x onerror=${RUN}//`,
  `<img/src/onerror=${RUN}>`,
  `<IMG """><SCRIPT>${RUN}</SCRIPT>">`,
  `"><img src=x onerror="${RUN}">`,
  `' onerror='${RUN}' src='x`,
  `" autofocus onfocus="${RUN}`,
  `<svg onload="${RUN}">`,
  `<svg><script>${RUN}</script></svg>`,
  `<svg><animate onbegin="${RUN}" attributeName=x dur=1s>`,
  `<svg><a xlink:href="javascript:${RUN}"><text y=20>x</text></a></svg>`,
  `<svg><use href="data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg' onload='${RUN}'/>#x"></svg>`,
  `<math><mtext><table><mglyph><style><img src=x onerror="${RUN}">`,
  `<iframe src="javascript:parent.${RUN}"></iframe>`,
  `<iframe srcdoc="<script>parent.${RUN}</script>"></iframe>`,
  `<object data="javascript:${RUN}"></object>`,
  `<embed src="javascript:${RUN}">`,
  `<body onload="${RUN}">`,
  `<details open ontoggle="${RUN}">`,
  `<video><source onerror="${RUN}"></video>`,
  `<audio src=x onerror="${RUN}">`,
  `<input autofocus onfocus="${RUN}">`,
  `<marquee onstart="${RUN}">`,
  `<style>@import "javascript:${RUN}";</style>`,
  `<link rel=stylesheet href="javascript:${RUN}">`,
  `<base href="javascript:${RUN}//"><a href="x">x</a>`,
  `<meta http-equiv="refresh" content="0;url=javascript:${RUN}">`,
  `javascript:${RUN}`,
  "${window.__ran=1}{{constructor.constructor('window.__ran=1')()}}<%= window.__ran=1 %>",
];

/** Links that must not be any. */
export const LINKS = [
  `javascript:${RUN}`,
  `JaVaScRiPt:${RUN}`,
  `java\tscript:${RUN}`,
  `data:text/html,<script>${RUN}</script>`,
  `vbscript:${RUN}`,
  "//evil.example/x",
  "file:///etc/passwd",
  "blob:http://evil.example/x",
];

/** How often a vector ran on a page. */
export const ran = (page) => page.evaluate(() => window.__ran ?? 0);
