// Tabs as the ARIA pattern has them: arrows move, the panel is made when it is first shown.

import { make } from "./dom.js";

/** `panels` are {id, label, open: () => {node, close?}}; returns {element, close}. */
export const tabs = (label, panels) => {
  const opened = new Map();
  const body = make("div", { class: "tab-body" });
  const buttons = panels.map((panel) => make("button", {
    type: "button", role: "tab", id: `tab-${panel.id}`, "aria-controls": `panel-${panel.id}`, "aria-selected": "false", tabindex: "-1",
    on: { click: () => choose(panel.id), keydown: (event) => move(event, panel.id) },
  }, panel.label));
  const list = make("div", { role: "tablist", class: "tabs", "aria-label": label }, buttons);

  for (const panel of panels) body.append(make("div", { role: "tabpanel", id: `panel-${panel.id}`, "aria-labelledby": `tab-${panel.id}`, tabindex: "0", hidden: true }));

  const choose = (id) => {
    panels.forEach((panel, index) => {
      const isChosen = panel.id === id;
      buttons[index].setAttribute("aria-selected", String(isChosen));
      buttons[index].tabIndex = isChosen ? 0 : -1;
      body.children[index].hidden = !isChosen;
      if (isChosen && !opened.has(id)) {
        const made = panel.open();
        opened.set(id, made);
        body.children[index].append(made.node);
      }
      if (!isChosen && opened.get(panel.id)?.pause) opened.get(panel.id).pause();
      if (isChosen && opened.get(id).resume) opened.get(id).resume();
    });
  };

  const move = (event, id) => {
    const index = panels.findIndex((panel) => panel.id === id);
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: panels.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + panels.length) % panels.length;
    choose(panels[next].id);
    buttons[next].focus();
  };

  choose(panels[0].id);
  return { element: make("section", { class: "card", "aria-label": label }, list, body), close: () => { for (const made of opened.values()) if (made.close) made.close(); } };
};
