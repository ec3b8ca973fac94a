"use strict";
(() => {
  const root = document.documentElement;
  const frames = document.querySelectorAll("iframe.mail");
  const fit = () => frames.forEach((frame) => {
    const page = frame.contentDocument;
    if (page && page.body) frame.style.height = page.body.scrollHeight + 2 + "px";
  });
  frames.forEach((frame) => frame.addEventListener("load", fit));
  window.addEventListener("resize", fit);
  window.addEventListener("load", fit);

  const choose = (name, value) => {
    root.dataset[name] = value;
    document.querySelectorAll(`[data-set="${name}"]`).forEach((button) =>
      button.setAttribute("aria-pressed", String(button.value === value)));
    setTimeout(fit, 60);
  };
  document.querySelectorAll("[data-set]").forEach((button) =>
    button.addEventListener("click", () => choose(button.dataset.set, button.value)));
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  choose("theme", dark ? "dark" : "light");
  choose("width", "phone");

  const reveal = (id) => {
    const entry = document.getElementById(id);
    if (!entry) return;
    entry.open = true;
    document.querySelectorAll(".source.lit").forEach((other) => other.classList.remove("lit"));
    entry.classList.add("lit");
    entry.scrollIntoView({ behavior: "smooth", block: "nearest" });
  };
  document.querySelectorAll(".tag, .ref").forEach((tag) => {
    const named = /^E\d+/.exec(tag.textContent.trim());
    if (!named || !document.getElementById(named[0])) return;
    tag.classList.add("jump");
    tag.addEventListener("click", () => reveal(named[0]));
  });
  // The browser scrolls a sticky list's entry towards the top and so the page to its end: come back.
  if (location.hash) window.addEventListener("load", () => setTimeout(() => {
    window.scrollTo(0, 0);
    reveal(location.hash.slice(1));
  }, 50));
})();
