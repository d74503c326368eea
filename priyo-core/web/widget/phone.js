// What the dialog is on a phone: over the whole screen, and modal. Loaded there only.

const FOCUSABLE = "button, a[href], textarea, [tabindex='0']";

/** Makes a panel modal while it is open on a phone. `fit` is to be called when that may have changed. */
export function modal(panel, { shadow, launcher }, phone) {
  const { style } = document.documentElement;
  let overflow = "";
  let isModal = false;

  /** As large as what the keyboard leaves. */
  function fit() {
    const wasModal = isModal;
    isModal = !panel.hidden && phone.matches;
    launcher.hidden = isModal;
    const { height, offsetTop } = visualViewport;
    panel.style.setProperty("--height", isModal ? `${height}px` : "");
    panel.style.setProperty("--top", isModal ? `${offsetTop}px` : "");
    if (isModal === wasModal) return;
    panel.ariaModal = isModal || null;
    // The page behind does not scroll.
    if (isModal) overflow = style.overflow;
    style.overflow = isModal ? "hidden" : overflow;
  }

  /** The focus goes round inside. */
  function onTab(event) {
    if (event.key !== "Tab" || !isModal) return;
    const all = [...panel.querySelectorAll(FOCUSABLE)].filter((one) => one.checkVisibility());
    const [from, to] = event.shiftKey ? [all[0], all.at(-1)] : [all.at(-1), all[0]];
    const { activeElement } = shadow;
    if (activeElement !== from && !(event.shiftKey && activeElement === panel)) return;
    event.preventDefault();
    to.focus();
  }

  panel.addEventListener("keydown", onTab);
  visualViewport.addEventListener("resize", fit);
  visualViewport.addEventListener("scroll", fit);
  return fit;
}
