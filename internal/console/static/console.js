// The console works without this file. With it, pages follow what changes, and sliders set weights.
"use strict";

// busy reports whether the reader is at work in an element: it has the focus, or a part of it is selected.
function busy(element) {
  const selection = document.getSelection();
  return element.contains(document.activeElement) || (!selection.isCollapsed && element.contains(selection.anchorNode));
}

const key = (node) => node.nodeName + "#" + (node.id || "");

// update makes an element like a newer one. What the reader is at work in stays in its place, and so does what is around it.
function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== fresh.nodeName) {
    if (!busy(old)) old.replaceWith(fresh);
    return;
  }
  if (old.matches("input, select, textarea, details")) return; // They are the reader's.
  for (const attribute of fresh.attributes) old.setAttribute(attribute.name, attribute.value);
  for (const attribute of [...old.attributes]) if (!fresh.hasAttribute(attribute.name)) old.removeAttribute(attribute.name);
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  const same = before.length === after.length && before.every((node, i) => key(node) === key(after[i]));
  if (same) {
    before.forEach((node, i) => update(node, after[i]));
  } else if (!busy(old)) {
    old.replaceChildren(...after);
  } else {
    for (const node of after) {
      const known = node.id && before.find((other) => other.id === node.id);
      if (known) update(known, node);
    }
  }
}

// refresh asks for the page again, and updates what is marked as live.
let refreshing = false;
let again = false;
async function refresh() {
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(old.id);
        if (fresh) update(old, document.adoptNode(fresh));
      }
      // A process that has taken over, or was started again, knows the forms of its own pages alone.
      const token = page.querySelector("input[name=token]");
      if (token) for (const old of document.querySelectorAll("input[name=token]")) old.value = token.value;
      document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates || 0) + 1;
    }
  } catch {
    // The stream's own error shows that the node is away.
  } finally {
    refreshing = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

const retry = 5000; // milliseconds until somebody is asked again who has refused

function listen() {
  const shown = document.getElementById("live");
  let late = false; // Something has changed while nobody saw the page.
  const changed = () => {
    if (document.hidden) late = true;
    else refresh();
  };
  let stream;
  const connect = () => {
    stream = new EventSource("/console/live");
    stream.addEventListener("open", () => {
      if (shown.textContent !== "") changed(); // The node was away.
      shown.textContent = "";
    });
    stream.addEventListener("error", () => {
      const refused = stream.readyState === EventSource.CLOSED; // Otherwise the browser tries again by itself.
      shown.textContent = refused ? "not kept up to date" : "the node does not answer; trying again";
      if (refused) setTimeout(connect, retry);
    });
    stream.addEventListener("change", changed);
  };
  connect();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && late) {
      late = false;
      refresh();
    }
  });
  addEventListener("pagehide", () => stream.close());
}

// A slider and the number beside it are one weight.
for (const slider of document.querySelectorAll("input[data-of]")) {
  const number = document.getElementById(slider.dataset.of);
  const shares = () => {
    const form = slider.form;
    const weights = [...form.querySelectorAll("input[name=weight]")];
    const total = weights.reduce((sum, input) => sum + Number(input.value), 0);
    for (const input of weights) {
      input.closest("li").querySelector(".share").textContent = total > 0 ? Math.round((100 * Number(input.value)) / total) + " %" : "";
    }
  };
  slider.hidden = false;
  slider.addEventListener("input", () => {
    number.value = slider.value;
    shares();
  });
  number.addEventListener("input", () => {
    slider.value = number.value;
    shares();
  });
}

// What can be copied has a button for it, where browsers permit that.
if (navigator.clipboard) {
  for (const line of document.querySelectorAll("pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(line.textContent);
      button.textContent = "Copied";
    });
    line.after(button);
  }
}

// A menu that is open closes by a click elsewhere, and by Escape.
const scopes = document.querySelector("details.scopes");
document.addEventListener("click", (event) => {
  if (!scopes.contains(event.target)) scopes.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && scopes.open) {
    scopes.open = false;
    scopes.querySelector("summary").focus();
  }
});

if (document.querySelector("[data-live]")) listen();
