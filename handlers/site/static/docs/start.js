// The address of the service, which a proxy may have put under a path prefix.
const root = new URL("..", document.currentScript.src).pathname;

// Swagger UI has its own dark mode; make it follow the scheme of the other pages.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// The guide is long; link to the reference, which shows it in full.
const WithoutGuide = () => ({
  wrapComponents: {
    info: (Info, system) => (props) => {
      const [summary] = props.info.get("description").split("\n\n");
      const info = props.info.set("description", `${summary}\n\n[Read the guide](${root}reference)`);
      return system.React.createElement(Info, { ...props, info });
    },
  },
});

// Swagger UI fills in every example: a list would be filtered by all filters at once, and two
// creates would have one Idempotency-Key. Only required parameters keep theirs.
const unfilled = (text) => {
  const contract = JSON.parse(text);
  const { parameters, schemas } = contract.components;
  for (const parameter of Object.values(parameters).filter(({ required }) => !required)) {
    const name = parameter.schema.$ref?.split("/").at(-1);
    parameter.schema = { ...(schemas[name] ?? parameter.schema) };
    delete parameter.schema.example;
    delete parameter.example;
  }
  return JSON.stringify(contract);
};
const WithoutExamples = () => ({
  statePlugins: {
    spec: { wrapActions: { updateSpec: (update) => (text) => update(unfilled(text)) } },
  },
});

const ui = SwaggerUIBundle({
  url: `${root}openapi.json`,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [WithoutGuide, WithoutExamples],
});

// Swagger UI handles every fragment link itself, so the skip link has to move the focus.
const content = document.getElementById("content");
document.querySelector(".skip").addEventListener("click", () => content.focus());

// In development, each button gets a token for its user.
const tokenStatus = document.getElementById("token-status");
const use = async (user) => {
  const response = await fetch(`${root}docs/token/${user}`, { method: "POST" });
  const { token, detail } = await response.json();
  if (response.ok) {
    const schema = ui.specSelectors.securityDefinitions().get("bearerAuth");
    ui.authActions.authorizeWithPersistOption({
      bearerAuth: { name: "bearerAuth", schema, value: token },
    });
  }
  tokenStatus.textContent = response.ok ? `Signed in as ${user} for one hour.` : detail;
};
for (const button of document.querySelectorAll("button[data-user]")) {
  button.addEventListener("click", () => use(button.dataset.user));
}
