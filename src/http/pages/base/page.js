// What pages do beyond being read: a filter that applies itself. Everything works without it.
"use strict";

document.querySelectorAll(".filters select").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});
