(() => {
  "use strict";
  const light = document.getElementById("style-light");
  const dark = document.getElementById("style-dark");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("paper-scheme"); } catch { return null; } };
  const remember = (scheme) => { try { localStorage.setItem("paper-scheme", scheme); } catch { /* a private window */ } };
  const current = () => remembered() || (prefersDark.matches ? "dark" : "light");
  const show = (scheme) => {
    light.media = scheme === "light" ? "all" : "print";
    dark.media = scheme === "dark" ? "screen" : "not all";
  };
  if (remembered()) show(remembered());
  const toggle = document.querySelector(".color-scheme");
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const scheme = dark.media !== "not all" && (light.media === "print" || current() === "dark") ? "light" : "dark";
    remember(scheme);
    show(scheme);
  });

  const contents = document.querySelector("#TOC details");
  if (contents) {
    const wide = matchMedia("(min-width: 1060px)");
    const fold = () => { contents.open = wide.matches; };
    wide.addEventListener("change", fold);
    fold();
    contents.addEventListener("click", (event) => { if (event.target.closest("a") && !wide.matches) contents.open = false; });
    const links = new Map([...contents.querySelectorAll("a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
    const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
    const mark = () => {
      const passed = sections.filter((s) => s.getBoundingClientRect().top < 120);
      const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 4;
      const here = atEnd ? sections.filter((s) => s.getBoundingClientRect().top < innerHeight).pop() : passed.pop();
      links.forEach((a) => a.removeAttribute("aria-current"));
      if (here) links.get(here.id).setAttribute("aria-current", "location");
    };
    let waiting = false;
    addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; mark(); });
    }, { passive: true });
    mark();
  }
})();
