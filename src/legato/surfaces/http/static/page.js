"use strict";

const api = "/api/v1";
const part = (name) => document.getElementById(name);

function tell(told, more, next) {
  part("told").textContent = told;
  part("more").textContent = more || "";
  part("next").hidden = !next;
  part("next").querySelector("code").textContent = next || "";
}

async function ask(method, path, body) {
  const headers = { "X-Legato": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(api + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const content = await answer.json();
  if (!answer.ok) throw content;
  return content;
}

function complain(problem) {
  if (problem && problem.what) tell(problem.what, problem.why, problem.next);
  else tell("The service does not answer.", String(problem));
}

async function logIn() {
  const link = location.hash.slice(1);
  history.replaceState(null, "", "/login"); // the secret stays in no history
  if (!link) return tell("Nobody can log in here by hand.", "A link that is good once comes from the command line.", "legato login-link");
  await ask("POST", "/login", { link });
  location.replace("/");
}

async function showHome() {
  const project = await ask("GET", "/project");
  const roles = Object.entries(project.roles).map(([domain, role]) => (domain ? `${role} in ${domain}` : role));
  tell(`${project.actor} is logged in to ${project.name}.`, [...new Set(roles)].join(", "));
  part("inside").hidden = false;
  part("leave").addEventListener("click", () => ask("POST", "/logout", {}).then(() => location.reload(), complain));
}

({ login: logIn, home: showHome })[document.body.dataset.page]().catch(complain);
