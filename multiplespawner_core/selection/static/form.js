// The spawn form with a script: the list of all choices becomes three, provider, type and
// deployment, and the fields below follow what is chosen. The list stays, unseen, and is what the
// form sends: with and without this script the hub gets the same.
(function () {
  "use strict";

  const listed = document.getElementById("multiplespawner-choice");
  const about = document.getElementById("multiplespawner-about");
  if (!listed || !about) {
    return;
  }
  const kinds = JSON.parse(listed.dataset.kinds);
  const choices = Array.from(listed.options)
    .filter((option) => option.value)
    .map((option) => {
      const [provider, type, deployment] = JSON.parse(option.value);
      const kind = kinds[option.dataset.kind];
      return { provider, type, deployment, kind, reason: option.dataset.reason, option };
    });
  const amounts = document.getElementById("multiplespawner-amounts");
  const inputs = amounts ? Array.from(amounts.querySelectorAll("input")) : [];
  const wanted = new Map(); // by field, what the user typed
  const given = new Map(inputs.map((input) => [input.name, input.value]));
  const first = chosen();
  let shown = null;

  const nothing = new Option("None available", "");
  const provider = list("provider", "Provider");
  const type = list("type", "Type");
  const deployment = list("deployment", "Deployment");
  deployment.required = true;

  // -- what is chosen ---------------------------------------------------------------------------

  function chosen() {
    const selected = choices.find((choice) => choice.option.selected);
    return selected && !selected.reason ? selected : choices.find((choice) => !choice.reason);
  }

  // The most similar one that can be had, else the most similar one.
  function nearest(candidates, to) {
    const score = (choice) =>
      4 * !choice.reason +
      2 * (choice.type === to.type) +
      (choice.deployment === to.deployment);
    return candidates.reduce((best, choice) => (score(choice) > score(best) ? choice : best));
  }

  function choose(choice) {
    fill(provider, choices, "provider", choice, (one) => one.provider);
    const there = choices.filter((one) => one.provider === choice.provider);
    fill(type, there, "type", choice, (one) => one.kind.type);
    const alike = there.filter((one) => one.type === choice.type);
    fill(deployment, alike, "deployment", choice, (one) =>
      one.reason ? `${one.deployment}: ${one.reason}` : one.deployment,
    );
    if (choice.reason) {
      deployment.prepend(nothing);
      nothing.selected = true;
    }
    settle(choice);
  }

  function settle(choice) {
    listed.value = choice.reason ? "" : choice.option.value;
    follow(choice);
    shown = choice;
  }

  function fill(select, candidates, key, choice, text) {
    const found = new Map(candidates.map((one) => [one[key], one]));
    const options = Array.from(found, ([value, one]) => {
      const option = new Option(text(one), value, false, value === choice[key]);
      option.disabled = key === "deployment" && Boolean(one.reason);
      return option;
    });
    select.replaceChildren(...options);
  }

  // -- what follows from it ---------------------------------------------------------------------

  function follow(choice) {
    const fields = choice.reason ? {} : choice.kind.fields;
    for (const input of inputs) {
      const field = fields[input.name];
      input.disabled = !field;
      input.parentElement.hidden = !field;
      if (field) {
        limit(input, field);
        if (choice !== shown) {
          input.value = amount(input.name, field, choice);
        }
      }
    }
    if (amounts) {
      amounts.hidden = Object.keys(fields).length === 0;
    }
    if (choice.reason) {
      say("Nothing can be had here at present", `The reason: ${choice.reason}`);
    } else {
      tell(choice.kind);
    }
  }

  function limit(input, field) {
    input.min = field.min;
    input.step = field.step;
    if (field.max === null) {
      input.removeAttribute("max");
    } else {
      input.max = field.max;
    }
    document.getElementById(`${input.id}-help`).textContent = field.help;
  }

  // What the user typed, as far as it is allowed here; else what stood there; else the default.
  function amount(name, field, choice) {
    if (wanted.get(name)) {
      return within(Number(wanted.get(name)), field);
    }
    const before = choice === first && given.get(name);
    return before || (field.default === null ? "" : field.default);
  }

  function within(value, field) {
    const most = field.max === null ? Infinity : field.max;
    const nearby = Math.min(Math.max(value, field.min), most);
    if (field.step === "any") {
      return nearby;
    }
    // Three steps of 0.1 are a little more than 0.3.
    const steps = Math.floor(nearby / field.step + 1e-9);
    return Number((steps * field.step).toPrecision(12));
  }

  function tell(kind) {
    const has = kind.gives ? `It has ${kind.gives}. ` : "";
    say(kind.name, `${has}${when(kind)} ${kind.ending}`);
  }

  function say(title, words) {
    const text = make("p", "mb-0");
    text.append(make("strong", "", title), " ", make("br"), words);
    about.replaceChildren(text);
  }

  function when(kind) {
    const input = inputs.find((one) => one.name === "lifetime");
    const minutes = input && !input.disabled && input.validity.valid ? Number(input.value) : 0;
    return minutes
      ? `The server ends ${duration(minutes)} after its start, or when you stop it.`
      : kind.when;
  }

  function duration(minutes) {
    const parts = [
      [Math.floor(minutes / 1440), "d"],
      [Math.floor(minutes / 60) % 24, "h"],
      [minutes % 60, "min"],
    ];
    return parts
      .filter(([count]) => count)
      .map(([count, unit]) => `${count} ${unit}`)
      .join(" ");
  }

  // -- elements ---------------------------------------------------------------------------------

  function list(name, text) {
    const select = make("select", "form-select");
    select.id = `multiplespawner-${name}`;
    select.autocomplete = "off";
    const label = make("label", "form-label", text);
    label.htmlFor = select.id;
    const column = make("div", "col-md-4");
    column.append(label, select);
    place().append(column);
    return select;
  }

  // The three lists in place of the one, and called as it was.
  function place() {
    const there = document.querySelector("#multiplespawner-where > .row");
    if (there) {
      return there;
    }
    const group = make("fieldset", "mb-3");
    group.id = "multiplespawner-where";
    const legend = make("legend", "fs-5 mb-0", listed.labels[0].textContent);
    const row = make("div", "row g-3");
    group.append(legend, row);
    listed.parentElement.before(group);
    return row;
  }

  function make(tag, className = "", text = "") {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  }

  // -- events -----------------------------------------------------------------------------------

  provider.addEventListener("change", () => {
    const there = choices.filter((choice) => choice.provider === provider.value);
    choose(nearest(there, shown));
  });
  type.addEventListener("change", () => {
    const there = choices.filter(
      (choice) => choice.provider === shown.provider && choice.type === type.value,
    );
    choose(nearest(there, shown));
  });
  deployment.addEventListener("change", () => {
    const there = choices.filter(
      (choice) => choice.provider === shown.provider && choice.type === shown.type,
    );
    settle(there.find((choice) => choice.deployment === deployment.value));
  });
  for (const input of inputs) {
    input.addEventListener("input", () => {
      wanted.set(input.name, input.value);
      tell(shown.kind);
    });
  }

  listed.required = false;
  listed.parentElement.hidden = true;
  if (!listed.querySelector('option[value=""]')) {
    listed.prepend(new Option("", ""));
  }
  about.setAttribute("role", "status");
  choose(first || choices[0]);
})();
