(() => {
  "use strict";
  const shown = "@version@";
  const place = "preview-place";

  // the last element with a name above the window's edge, and how far: what stands there stays there
  history.scrollRestoration = "manual";
  addEventListener("pagehide", () => {
    const passed = [...document.querySelectorAll("main [id]")]
      .filter((e) => e.getClientRects().length && e.getBoundingClientRect().top <= 0).pop();
    const kept = { id: passed?.id, top: passed?.getBoundingClientRect().top, y: scrollY };
    sessionStorage.setItem(place, JSON.stringify(kept));
  });
  const goBack = () => {
    const kept = JSON.parse(sessionStorage.getItem(place));
    if (!kept) return;
    const found = kept.id && document.getElementById(kept.id);
    const y = found ? scrollY + found.getBoundingClientRect().top - kept.top : kept.y;
    scrollTo({ top: y, behavior: "instant" });
  };
  goBack();
  addEventListener("load", goBack);

  const box = document.createElement("div");
  box.setAttribute("role", "status");
  document.body.append(box);
  const say = (said, kind) => {
    box.id = said ? `preview-${kind}` : "";
    box.textContent = said;
    box.style.cssText = "position: fixed; left: 0; right: 0; z-index: 2000; padding: .6rem 1rem; max-height: 40vh;"
      + "overflow: auto; white-space: pre-wrap; font: 15px/1.4 ui-monospace, monospace; color: #fff;"
      + (kind === "problem" ? "top: 0; background: #8f1d00;" : "bottom: 0; background: #1f3a5f;");
    box.hidden = !said;
    if (!said) box.style.display = "none";
  };
  const changes = new EventSource("/changes");
  changes.onmessage = (event) => {
    const state = JSON.parse(event.data);
    if (state.page !== shown) location.reload();
    else say(state.said, state.kind);
  };
  changes.onerror = () => say("the preview has ended: start it again", "working");
})();
