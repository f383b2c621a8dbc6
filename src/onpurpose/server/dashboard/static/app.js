// What the dashboard does in the browser beside htmx: keys, the CSRF header, charts, countdowns, live feeds.
(() => {
  "use strict";
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const skew = Number(document.body.dataset.now) - Date.now();

  // A page may have something said to those who do not see it change.
  const say = (text) => { $("#said").textContent = text; };

  // ---- CSRF: what htmx sends that changes something carries the token of the page.
  document.addEventListener("htmx:config:request", (event) => {
    const request = event.detail.ctx.request;
    if (request.method.toUpperCase() !== "GET") request.headers["X-CSRF-Token"] = $("meta[name=csrf-token]").content;
  });

  // ---- What went wrong with a part of a page is said above it; what is written there stays.
  const fault = (text) => { if ($("#fault").textContent !== text) $("#fault").textContent = text; };
  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    if (ctx.response.headers.get("Content-Type")?.startsWith("text/plain")) fault(ctx.text);
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail.ctx.response) fault("The service cannot be reached now. What you wrote was not sent.");
  });
  document.addEventListener("htmx:after:request", (event) => { if (event.detail.ctx.response.status < 400) fault(""); });

  // ---- Dialogues: `command` is new in browsers; those without it are helped.
  if (!("command" in HTMLButtonElement.prototype)) {
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[command=show-modal]");
      if (button) document.getElementById(button.getAttribute("commandfor"))?.showModal();
    });
  }
  for (const dialog of $$("dialog[open]")) { dialog.close(); dialog.showModal(); }
  document.addEventListener("click", (event) => {
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // ---- Keys
  const typing = (element) => element.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  let going = 0;
  const step = (by) => {
    const rows = $$("[data-row]").filter((row) => row.offsetParent !== null);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
    if (!row) return;
    const link = row.matches("a, button, [tabindex]") ? row : $("a, button", row);
    link?.focus();
    row.scrollIntoView({ block: "nearest" });
  };
  // A page without a search of its own has that of the decisions.
  const search = () => {
    const field = $("[data-search]");
    if (!field) { location.assign("/decisions#search"); return; }
    for (let part = field.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    field.focus();
    field.select();
  };
  const help = () => { const told = $("#keys"); if (told?.open) told.close(); else told?.showModal(); };
  const keys = {
    "/": search,
    "?": help,
    j: () => step(1),
    k: () => step(-1),
    g: () => { going = Date.now(); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of $$("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); }
      if (event.target.matches("[data-search]")) event.target.blur();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
    if ($("dialog:modal")) {
      if (event.key === "?" && $("#keys")?.open) help();
      return;
    }
    if (going && Date.now() - going < 1500) {
      going = 0;
      const link = $(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    // A page's own keys: a control with `data-key` is pressed, or focused where it takes text.
    const own = $(`[data-key="${CSS.escape(event.key)}"]`);
    const run = keys[event.key] ?? (own && (() => (typing(own) ? own.focus() : own.click())));
    if (run) { event.preventDefault(); run(); }
  });

  // ---- Countdowns: in the two largest units, by the server's clock.
  const left = (seconds) => {
    const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
  };
  const count = () => {
    for (const element of $$("[data-until]")) {
      const seconds = Math.ceil((Number(element.dataset.until) - Date.now() - skew) / 1000);
      const text = seconds > 0 ? left(seconds) : "over";
      if (element.textContent !== text) element.textContent = text;
      element.classList.toggle("is-short", seconds > 0 && seconds < 300);
      element.classList.toggle("is-over", seconds <= 0);
      if (seconds > 0) continue;
      const control = element.dataset.disables && document.getElementById(element.dataset.disables);
      if (control && !control.disabled) { control.disabled = true; say("The time is over."); }
    }
  };
  setInterval(count, 1000);
  count();

  // ---- Live feeds: how the connection is, and held while a row is read.
  const feeds = { held: false, hovered: false, on: false, release: [] };
  const tell = () => {
    const held = feeds.held || feeds.hovered;
    for (const status of $$("[data-live-status]")) {
      status.classList.toggle("is-on", feeds.on && !held);
      status.classList.toggle("is-held", feeds.on && held);
      const text = feeds.on ? (held ? "Paused" : "Live") : "Not live";
      const place = $("[data-live-text]", status);
      if (place.textContent !== text) place.textContent = text;
    }
    if (!held) feeds.release.splice(0).forEach((go) => go());
  };
  const live = (on) => () => { feeds.on = on; tell(); };
  document.addEventListener("htmx:sse:after:connection", live(true));
  document.addEventListener("htmx:sse:error", live(false));
  document.addEventListener("htmx:sse:close", live(false));
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (feeds.held || feeds.hovered) event.detail.waitUntil(new Promise((go) => feeds.release.push(go)));
  });
  for (const [name, held] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
    document.addEventListener(name, (event) => {
      const area = event.target.closest?.("[data-live-hold]");
      if (!area || area.contains(event.relatedTarget)) return;
      feeds.hovered = held;
      tell();
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live-pause]");
    if (!button) return;
    feeds.held = !feeds.held;
    button.setAttribute("aria-pressed", String(feeds.held));
    tell();
  });

  // ---- Charts: drawn from the JSON beside them, in the colours of the page.
  const charts = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const tones = ["accent", "shadow", "warn", "ask", "deny"];
  const mark = (at) => {
    const iso = new Date(at * 1e3).toISOString();
    return at % 86400 ? iso.slice(11, 16) : iso.slice(5, 10);
  };
  const draw = (plot) => {
    charts.get(plot)?.destroy();
    const told = JSON.parse(document.getElementById(plot.dataset.chart).textContent);
    const axis = { stroke: colour("ink-quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    const written = (_, value) => (value == null ? "–" : value.toLocaleString("en") + (told.unit ? ` ${told.unit}` : ""));
    const series = told.series.map((one, i) => ({
      label: one.label, stroke: colour(one.tone ?? tones[i % tones.length]), width: 2, dash: one.dash ? [6, 4] : undefined,
      points: { show: told.times.length < 2 }, value: written,
    }));
    charts.set(plot, new uPlot({
      width: plot.clientWidth, height: plot.clientHeight - 32, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...series],
      axes: [{ ...axis, space: 60, values: (_, marks) => marks.map(mark) }, { ...axis, size: 60, values: (_, marks) => marks.map((one) => one.toLocaleString("en")) }],
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.05 : 1] } },
      legend: { live: true }, cursor: { drag: { setScale: false } },
    }, [told.times, ...told.series.map((one) => one.values)], plot));
  };
  let loading = null;
  const loaded = (tag, values, ...ends) => new Promise((done) => {
    const part = Object.assign(document.createElement(tag), values);
    for (const end of ends) part.addEventListener(end, done);
    document.head.append(part);
  });
  // Drawn before its style is here, a chart would jump when it comes.
  const load = () => loading ??= Promise.all([
    loaded("link", { rel: "stylesheet", href: document.body.dataset.uplotStyle }, "load", "error"),
    loaded("script", { src: document.body.dataset.uplot }, "load"),
  ]);
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) charts.get(target)?.setSize({ width: target.clientWidth, height: target.clientHeight - 32 });
  });
  const chartAll = async () => {
    for (const plot of charts.keys()) if (!plot.isConnected) { charts.get(plot).destroy(); charts.delete(plot); resized.unobserve(plot); }
    const plots = $$("[data-chart]").filter((plot) => !charts.has(plot));
    if (!plots.length) return;
    await load();
    for (const plot of plots) { draw(plot); resized.observe(plot); }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const plot of [...charts.keys()]) draw(plot); });
  document.addEventListener("htmx:after:swap", () => { chartAll(); count(); tell(); });
  chartAll();

  // On a phone the navigation is wider than the window: where one is must be seen.
  $(".main-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center", behavior: "instant" });

  if (location.hash === "#search" && $("[data-search]")) search();

  // What is wrong is read first.
  $("[data-focus]")?.focus();
})();
