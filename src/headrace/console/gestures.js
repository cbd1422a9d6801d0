/* Gestures that need no server: keys, relative times, copying. Colours for charts come from the same variables. */
globalThis.token = (name) => getComputedStyle(document.body).getPropertyValue("--" + name).trim();

(() => {
  const typing = (e) => e.target.closest("input, textarea, select, [contenteditable=true]");
  let going = 0;
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      if (document.querySelector(".q-dialog__inner, .q-menu")) return;
      if (typing(e)) return e.target.blur();
      return document.querySelector("[data-escape]")?.click();
    }
    if (typing(e) || e.metaKey || e.ctrlKey || e.altKey) return;
    if (e.key === "/") {
      const box = document.querySelector("[data-search] input, input[data-search]");
      if (box) { e.preventDefault(); box.focus(); box.select(); }
    } else if (e.key === "?") {
      document.querySelector("[data-help]")?.click();
    } else if (e.key === "g" && Date.now() - going >= 1500) {
      going = Date.now();
      return;
    } else if (Date.now() - going < 1500) {
      document.querySelector(`[data-go="${CSS.escape(e.key)}"]`)?.click();
    }
    going = 0;
  });

  document.addEventListener("keydown", (e) => {
    if ((e.key === "Enter" || e.key === " ") && e.target.matches("tr[tabindex]")) {
      e.preventDefault();
      e.target.click();
    }
  });

  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = (seconds, lang) => {
    const format = new Intl.RelativeTimeFormat(lang, { numeric: "always", style: "narrow" });
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    return format.format(-Math.floor(Math.abs(seconds) / size) * Math.sign(seconds), unit);
  };
  const tell = () => {
    const lang = document.documentElement.lang || "en";
    for (const el of document.querySelectorAll("time[data-at]")) {
      const at = Number(el.dataset.at);
      if (!at) continue;
      const text = words(Math.max(Date.now() / 1000 - at, 0), lang);
      if (el.textContent !== text) el.textContent = text;
      if (el.dataset.told !== el.dataset.at) {
        el.dataset.told = el.dataset.at;
        el.title = new Date(at * 1000).toLocaleString(lang, { dateStyle: "medium", timeStyle: "long" });
      }
    }
  };
  setInterval(tell, 500);
  new MutationObserver(tell).observe(document.documentElement, { childList: true, subtree: true });

  globalThis.copyText = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
    }
    button.dataset.copied = "true";
    setTimeout(() => delete button.dataset.copied, 1500);
  };

  globalThis.prefer = (name, value) => {
    document.cookie = `headrace_${name}=${value}; path=/; max-age=31536000; samesite=lax`;
  };
})();
