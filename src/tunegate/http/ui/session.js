// Signing in: the token is asked for on load and kept in memory until the tab is closed or the reader signs out.

import { Problem, call, setToken } from "./api.js";
import { make, replace, write } from "./dom.js";

export const isOpen = () => document.documentElement.dataset.open === "yes";

/** Draws the form; the promise is kept once the gateway has taken the token. */
export const askForToken = (root, reason = "") => new Promise((done) => {
  const input = make("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-hint token-trouble" });
  const trouble = make("p", { id: "token-trouble", class: "trouble", role: "alert" }, reason);
  const button = make("button", { type: "submit", class: "strong" }, "Sign in");
  const attempt = async (event) => {
    event.preventDefault();
    const given = input.value.trim();
    if (!given) return;
    if (/[^\x21-\x7e]/.test(given)) { write(trouble, "A token has no spaces and no letters outside ASCII."); return; }
    button.disabled = true;
    setToken(given);
    try {
      await call("train?limit=1");
      input.value = "";
      done();
    } catch (error) {
      setToken("");
      const refused = error instanceof Problem && error.status === 401;
      write(trouble, refused ? "The gateway does not know this token." : error.message);
      input.setAttribute("aria-invalid", "true");
      input.select();
      input.focus();
    } finally {
      button.disabled = false;
    }
  };
  replace(root, make("section", { class: "card sign-in", "aria-labelledby": "sign-in" },
    make("h1", { id: "sign-in", tabindex: "-1" }, "Sign in"),
    make("form", { on: { submit: attempt } },
      make("label", { for: "token" }, "Token"), input,
      make("p", { id: "token-hint", class: "dim" }, "A token of this gateway. It stays in this tab's memory: a reload asks again."),
      trouble, button)));
  input.focus();
});
