// Mistakes that the generated types must reject: tsc fails if the line below a
// `@ts-expect-error` compiles.

import createClient from "openapi-fetch";
import type { components, paths } from "./todo-api";

const api = createClient<paths>({ baseUrl: "http://localhost" });
const path = { task_id: "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90" };

export async function mistakes(task: components["schemas"]["Task"]): Promise<void> {
  // @ts-expect-error: unknown path
  await api.GET("/api/task");
  // @ts-expect-error: a list is read with GET
  await api.PUT("/api/tasks", { body: { title: "Water the plants" } });
  // @ts-expect-error: "open" is not a status
  await api.GET("/api/tasks", { params: { query: { status: "open" } } });
  // @ts-expect-error: "colour" is not a sort order
  await api.GET("/api/tasks", { params: { query: { sort: "colour" } } });
  // @ts-expect-error: a limit is a number
  await api.GET("/api/tasks", { params: { query: { limit: "10" } } });
  // @ts-expect-error: the title is required
  await api.POST("/api/tasks", { body: { description: "" } });
  // @ts-expect-error: the title is not nullable
  await api.POST("/api/tasks", { body: { title: null } });
  // @ts-expect-error: "asap" is not a priority
  await api.POST("/api/tasks", { body: { title: "Water the plants", priority: "asap" } });
  // @ts-expect-error: a task has no colour
  const body: components["schemas"]["TaskCreate"] = { title: "Paint", colour: "green" };
  // @ts-expect-error: the path parameter is missing
  await api.DELETE("/api/tasks/{task_id}");
  // @ts-expect-error: the body is missing
  await api.PATCH("/api/tasks/{task_id}", { params: { path } });
  // @ts-expect-error: completed is a boolean
  await api.PATCH("/api/tasks/{task_id}", { params: { path }, body: { completed: "yes" } });
  // @ts-expect-error: the due date is nullable
  const due: string = task.due_date;
  // @ts-expect-error: data is undefined until the error is ruled out
  const tasks: components["schemas"]["TaskList"] = (await api.GET("/api/tasks")).data;
  console.log(body, due, tasks);
}
