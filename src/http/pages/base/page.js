// What pages do beyond being read: filters apply themselves, commands are copied. Everything works without it.
"use strict";

function copy(text) {
  // The clipboard's own interface is there on secure addresses only, and many a page inside a company is not.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done ? Promise.resolve() : Promise.reject();
}

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  target.scrollIntoView({ block: "center" });
}

function prepare() {
  document.querySelectorAll(".copy").forEach((button) => { button.hidden = false; });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const label = button.textContent;
  copy(button.parentElement.querySelector("code").textContent).then(() => {
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 1500);
  }, () => getSelection().selectAllChildren(button.parentElement.querySelector("code")));
});

document.addEventListener("change", (event) => {
  if (event.target.matches(".filters select")) event.target.form.requestSubmit();
});

// Reads the page again and puts its article in place of the old one; what was opened stays open.
async function renew() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("article");
  const old = document.querySelector("article");
  if (!fresh || !old) return location.reload();
  old.querySelectorAll("details[open][id]").forEach((one) => {
    const same = fresh.querySelector(`details[id="${CSS.escape(one.id)}"]`);
    if (same) same.open = true;
  });
  old.replaceWith(fresh);
  prepare();
}

// Follows an investigation: its step as it goes, the page again when it is out of date.
function follow() {
  const article = document.querySelector("article[data-events]");
  if (!article || !window.EventSource) return;
  const source = new EventSource(article.dataset.events);
  source.addEventListener("step", (event) => {
    const step = document.querySelector("#live .step");
    if (step) step.textContent = event.data;
  });
  source.addEventListener("changed", () => renew().catch(() => {}));
  source.addEventListener("done", () => source.close());
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
}

addEventListener("hashchange", reveal);
prepare();
reveal();
follow();
