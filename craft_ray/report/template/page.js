"use strict";
(() => {
  const threshold = document.getElementById("threshold");
  const right = document.getElementById("right");
  threshold?.addEventListener("input", () => {
    const step = JSON.parse(right.dataset.steps)[Number(threshold.value)];
    const about = right.dataset.about ?? "";
    const grouped = (count) => about + count.toLocaleString("en");
    document.getElementById("at").textContent = step.score.toFixed(2);
    const share = step.entities ? ` (${Math.round((100 * step.expected) / step.entities)} %)` : "";
    right.textContent = `about ${grouped(step.expected)} of ${grouped(step.entities)}${share} are expected right.`;
  });
})();
(() => {
  const graph = document.getElementById("graph");
  if (!graph) return;
  const status = document.getElementById("picked");
  const hint = status.textContent;

  const pick = (node) => {
    const on = node !== null && node.getAttribute("aria-pressed") === "false";
    for (const part of graph.querySelectorAll(".lit")) part.classList.remove("lit", "picked");
    for (const other of graph.querySelectorAll(".node")) other.setAttribute("aria-pressed", String(on && other === node));
    graph.classList.toggle("choosing", on);
    status.textContent = hint;
    if (!on) return;
    node.classList.add("lit", "picked");
    const found = [];
    for (const line of graph.querySelectorAll("path")) {
      const ends = line.dataset.ends.split(" ");
      if (!ends.includes(node.dataset.node)) continue;
      const end = ends.find((number) => number !== node.dataset.node);
      const other = graph.querySelector(`[data-node="${end}"]`);
      for (const part of [line, other]) part.classList.add("lit");
      found.push([Number(line.dataset.sentences), other.dataset.name]);
    }
    found.sort((one, other) => other[0] - one[0]);
    const named = found.map(([sentences, name]) => `${name} (${sentences.toLocaleString("en")})`).join(", ");
    status.textContent = `${node.dataset.name} is in sentences with ${named}.`;
  };

  graph.addEventListener("click", ({ target }) => pick(target.closest(".node")));
  graph.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    pick(event.target.closest(".node"));
    event.preventDefault();
  });
})();
(() => {
  const documents = [...document.querySelectorAll("article[data-document]")];
  if (!documents.length) return;
  const section = document.getElementById("documents");
  const which = document.getElementById("which");
  const status = document.getElementById("status");
  const hint = status.textContent;
  let shown = 0;

  const marks = () => [...documents[shown].querySelectorAll("mark:not(.off)")];

  // Tab reaches one of the mentions, and the arrow keys move from it to the others.
  const reachable = (mark) => {
    for (const other of documents[shown].querySelectorAll("mark[tabindex='0']")) other.tabIndex = -1;
    if (mark) mark.tabIndex = 0;
  };

  const show = (number) => {
    shown = (number + documents.length) % documents.length;
    documents.forEach((document_, index) => { document_.hidden = index !== shown; });
    which.value = String(shown);
    reachable(marks()[0]);
    status.textContent = hint;
  };

  const step = (by) => {
    const within = documents[shown].contains(document.activeElement);
    show(shown + by);
    if (within) marks()[0]?.focus();
  };

  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  const find = document.getElementById("find");
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !find.value.trim()) return;
    const wanted = find.value.trim().toLowerCase();
    const order = documents.map((_, index) => (shown + 1 + index) % documents.length);
    const hit = order.find((index) => documents[index].textContent.toLowerCase().includes(wanted));
    if (hit === undefined) status.textContent = `None of the documents shown has "${find.value.trim()}".`;
    else show(hit);
  });
  which.addEventListener("change", () => show(Number(which.value)));

  for (const button of section.querySelectorAll("button[data-label]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const mark of section.querySelectorAll(`mark.l${button.dataset.label}`)) {
        mark.classList.toggle("off", !on);
        mark.tabIndex = -1;
      }
      reachable(marks()[0]);
    });
  }

  section.addEventListener("focusin", ({ target }) => {
    if (target.matches("mark")) {
      reachable(target);
      status.textContent = `${target.textContent}: ${target.title}`;
    }
  });

  section.addEventListener("click", ({ target }) => {
    target.closest("mark:not(.off)")?.focus();
  });

  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select, input")) return;
    const by = { n: 1, p: -1 }[event.key];
    if (by) {
      step(by);
    } else if (event.target.matches("mark") && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const all = marks();
      const next = all[all.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : -1)];
      next?.focus();
    } else {
      return;
    }
    event.preventDefault();
  });

  show(0);
})();
