/*
 * Warns inside JupyterLab before this server's lifetime ends: the part in the browser.
 *
 * Written by hand, and shipped as it is written: no bundler, no dependencies. JupyterLab loads this
 * script as `jupyterlab._build.load` in package.json says, and then uses what the script has put
 * into `window._JUPYTERLAB`, a container of Webpack's module federation (see the end).
 */
(() => {
  "use strict";

  const NAME = "multiplespawner-lab";
  const MINUTE = 60_000;
  const FIRST_RETRY = 30_000;
  const LAST_RETRY = 10 * MINUTE;
  const TIMEOUT = 15_000;
  // JupyterLab cuts what is longer (MAX_MESSAGE_LENGTH in its notification plugin).
  const LONGEST_MESSAGE = 140;

  let shareScope = {};

  /** The module that JupyterLab itself uses, such as "@jupyterlab/apputils". */
  async function shared(name) {
    const versions = Object.values(shareScope[name] ?? {});
    const chosen = versions.find((version) => version.loaded) ?? versions[0];
    if (!chosen) throw new Error(`JupyterLab does not share ${name}`);
    return (await chosen.get())();
  }

  /** "14:05", or "Tue 14:05" on another day than today. */
  function clockTime(moment) {
    const options = { hour: "numeric", minute: "2-digit" };
    if (moment.toDateString() !== new Date().toDateString()) options.weekday = "short";
    return moment.toLocaleTimeString([], options);
  }

  /**
   * Short, so that what is deleted stands beside it. It is true until the next warning, without
   * being counted down: a screen reader would read every change aloud.
   */
  function headline(endsAt, left) {
    const time = clockTime(new Date(endsAt));
    if (left <= 0) return `Server reached its end (${time}) and is being stopped.`;
    const minutes = Math.ceil(left / MINUTE);
    return `Server ends in under ${minutes === 1 ? "a minute" : `${minutes} minutes`} (${time}).`;
  }

  function shorten(text, room) {
    if (text.length <= room) return text;
    const start = text.slice(0, room - 1);
    return `${start.slice(0, start.lastIndexOf(" "))}…`;
  }

  class Warner {
    #api;
    #settings;
    #answer = null;
    #end = null; // by this browser's clock, whatever that says
    #shown = null; // the time of the last warning about this end
    #notification = null;
    #asking = false;
    #failures = 0;
    #nextAsk;
    #nextWarning;

    constructor(settings, api) {
      this.#settings = settings;
      this.#api = api;
      // A page in the background, and a laptop that slept, are late.
      document.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") this.ask();
      });
    }

    /** Ask, warn if it is time, whether there was an answer or not, and come back. */
    async ask() {
      if (this.#asking) return;
      this.#asking = true;
      clearTimeout(this.#nextAsk);
      let pause;
      try {
        this.#take(await this.#fetch());
        this.#failures = 0;
        pause = this.#answer.ask_again * 1000;
      } catch (error) {
        console.debug(`${NAME}: ${error}`);
        pause = Math.min(FIRST_RETRY * 2 ** this.#failures, LAST_RETRY);
        this.#failures += 1;
      }
      this.#asking = false;
      this.#nextAsk = setTimeout(() => this.ask(), pause);
      this.#warn();
    }

    async #fetch() {
      const { ServerConnection } = this.#api;
      const url = `${this.#settings.baseUrl}${NAME}/lifetime`;
      const init = { signal: AbortSignal.timeout(TIMEOUT) };
      const response = await ServerConnection.makeRequest(url, init, this.#settings);
      if (!response.ok) throw await ServerConnection.ResponseError.create(response);
      return response.json();
    }

    #take(answer) {
      const before = this.#answer?.lifetime?.ends_at;
      this.#answer = answer;
      const endsAt = answer.lifetime?.ends_at ?? null;
      if (endsAt !== before) this.#dismiss();
      this.#end = endsAt && Date.now() + Date.parse(endsAt) - Date.parse(answer.now);
    }

    /** Show the warning whose time has come, if it is not shown yet, and ask for the next. */
    #warn() {
      clearTimeout(this.#nextWarning);
      if (this.#end === null) return;
      const left = this.#end - Date.now();
      const times = [...this.#answer.warn_minutes.map((minutes) => minutes * MINUTE), 0];
      const due = times.filter((time) => left <= time);
      const nearest = Math.min(...due);
      if (due.length > 0 && nearest < (this.#shown ?? Infinity)) {
        this.#shown = nearest;
        this.#notify(left);
      }
      const later = times.filter((time) => time < left);
      if (later.length > 0) {
        // Browsers cannot wait longer than 24 days; asking again comes before that.
        const wait = Math.min(left - Math.max(...later), 60 * MINUTE);
        this.#nextWarning = setTimeout(() => this.ask(), wait);
      }
    }

    #notify(left) {
      const { Notification } = this.#api;
      const { lifetime, extend_url: extendUrl } = this.#answer;
      const first = headline(lifetime.ends_at, left);
      const room = LONGEST_MESSAGE - first.length - 1;
      const message = lifetime.on_end ? `${first}\n${shorten(lifetime.on_end, room)}` : first;
      const actions = [];
      if (lifetime.on_end.length > room) actions.push(this.#details(first, lifetime.on_end));
      if (extendUrl && left > 0) actions.push(extend(extendUrl));
      const options = { autoClose: false, actions };
      // One that the user has dismissed cannot be updated; the next warning is a new one.
      const id = this.#notification;
      if (!id || !Notification.update({ id, message, type: "warning", ...options })) {
        this.#notification = Notification.warning(message, options);
      }
    }

    #details(title, text) {
      const { Dialog, showDialog } = this.#api;
      const callback = (event) => {
        event.preventDefault(); // the notification stays
        void showDialog({ title, body: text, buttons: [Dialog.okButton()] });
      };
      return { label: "Details", caption: "What happens when your server ends", callback };
    }

    #dismiss() {
      if (this.#notification) this.#api.Notification.dismiss(this.#notification);
      this.#notification = null;
      this.#shown = null;
    }
  }

  function extend(url) {
    return {
      label: "Extend…",
      caption: "Opens the hub's home page in a new tab",
      displayType: "accent",
      callback: () => void window.open(url, "_blank", "noopener"),
    };
  }

  const plugin = {
    id: `${NAME}:lifetime`,
    description: "Warns before the lifetime of this server ends.",
    autoStart: true,
    activate: (app) => {
      const start = async () => {
        await app.restored;
        const [{ Notification, Dialog, showDialog }, { ServerConnection }] = await Promise.all([
          shared("@jupyterlab/apputils"),
          shared("@jupyterlab/services"),
        ]);
        const api = { Notification, Dialog, showDialog, ServerConnection };
        await new Warner(app.serviceManager.serverSettings, api).ask();
      };
      start().catch((error) => console.error(`${NAME}: ${error}`));
    },
  };

  // The container: JupyterLab calls `init` with the modules that it shares, and `get` with the
  // value of `jupyterlab._build.extension`.
  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB[NAME] = {
    init: (scope) => {
      shareScope = scope;
    },
    get: async (module) => {
      if (module !== "./extension") throw new Error(`${NAME} has no module ${module}`);
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
