// Typical frontend code with openapi-fetch and the generated types: every operation and
// its errors. Prints the results for test_typescript.py.

import createClient from "openapi-fetch";
import type { components, paths } from "./todo-api";

type Task = components["schemas"]["Task"];
type TaskUpdate = components["schemas"]["TaskUpdate"];
type Problem = components["schemas"]["Problem"];
type ValidationProblem = components["schemas"]["ValidationProblem"];
type Filter = NonNullable<paths["/api/tasks"]["get"]["parameters"]["query"]>;

class ApiError extends Error {
  readonly problem: Problem | ValidationProblem;

  constructor(problem: Problem | ValidationProblem) {
    super(problem.detail);
    this.problem = problem;
  }
}

const [baseUrl = "", token = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

async function create(title: string, priority: Task["priority"]): Promise<Task> {
  const { data, error } = await api.POST("/api/tasks", {
    body: { title, description: "", priority },
  });
  if (error) throw new ApiError(error);
  return data;
}

async function list(query: Filter): Promise<{ tasks: Task[]; total: number }> {
  const { data, error, response } = await api.GET("/api/tasks", { params: { query } });
  if (error) throw new ApiError(error);
  return { tasks: data, total: Number(response.headers.get("X-Total-Count")) };
}

async function update(task: Task, body: TaskUpdate, etag?: string): Promise<Task> {
  const { data, error } = await api.PUT("/api/tasks/{task_id}", {
    params: {
      path: { task_id: task.id },
      ...(etag === undefined ? {} : { header: { "If-Match": etag } }),
    },
    body,
  });
  if (error) throw new ApiError(error);
  return data;
}

async function toggle(task: Task): Promise<Task> {
  const { data, error } = await api.PATCH("/api/tasks/{task_id}/complete", {
    params: { path: { task_id: task.id } },
  });
  if (error) throw new ApiError(error);
  return data;
}

async function remove(task: Task): Promise<number> {
  const { error, response } = await api.DELETE("/api/tasks/{task_id}", {
    params: { path: { task_id: task.id } },
  });
  if (error) throw new ApiError(error);
  return response.status;
}

async function refusal(attempt: Promise<unknown>): Promise<unknown> {
  try {
    return await attempt;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { type, detail } = error.problem;
    return "errors" in error.problem ? { type, errors: error.problem.errors } : { type, detail };
  }
}

const plants = await create("Water the plants", "high");
const bank = await create("Call the bank", null);
const pending = await list({ status: "pending", sort: "title", limit: 1 });
const changed = await update(plants, { due_date: "2026-12-01T18:00:00+01:00", priority: null });
const done = await toggle(bank);

console.log(
  JSON.stringify({
    created: plants,
    pending: { titles: pending.tasks.map((task) => task.title), total: pending.total },
    changed: { title: changed.title, priority: changed.priority, due: changed.due_date },
    completed: [done.completed, (await toggle(done)).completed],
    blank: await refusal(create(" ", "low")),
    stale: await refusal(update(plants, { title: "Too late" }, '"1"')),
    removed: await remove(plants),
    removedTwice: await refusal(remove(plants)),
  }),
);
