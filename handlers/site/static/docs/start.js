// Swagger UI knows a dark scheme; whoever looks has chosen one for all pages.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// The guide is long, and read on the page that is made for it.
const WithoutGuide = () => ({
  wrapComponents: {
    info: (Info, system) => (props) => {
      const [summary] = props.info.get("description").split("\n\n");
      const info = props.info.set("description", `${summary}\n\n[Read the guide](/reference)`);
      return system.React.createElement(Info, { ...props, info });
    },
  },
});

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [WithoutGuide],
});

// Swagger UI takes every link to a place on the page for its own.
const content = document.getElementById("content");
document.querySelector(".skip").addEventListener("click", () => content.focus());

// In development, a token is one click away.
const says = document.getElementById("token-status");
const use = async (user) => {
  const answer = await fetch(`/docs/token/${user}`, { method: "POST" });
  const { token, detail } = await answer.json();
  if (answer.ok) {
    const schema = ui.specSelectors.securityDefinitions().get("bearerAuth");
    ui.authActions.authorizeWithPersistOption({
      bearerAuth: { name: "bearerAuth", schema, value: token },
    });
  }
  says.textContent = answer.ok ? `You are ${user} for an hour.` : detail;
};
for (const button of document.querySelectorAll("button[data-user]")) {
  button.addEventListener("click", () => use(button.dataset.user));
}
