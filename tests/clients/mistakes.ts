// What the generated types must not let through: where a line below `@ts-expect-error`
// compiles, tsc fails.

import createClient from "openapi-fetch";
import type { components, paths } from "./todo-api";

const api = createClient<paths>({ baseUrl: "http://localhost" });
const path = { task_id: "7d3f9a52-4c1e-4b8a-9f06-2e5d8c7b1a90" };

export async function mistakes(task: components["schemas"]["Task"]): Promise<void> {
  // @ts-expect-error: there is no such path
  await api.GET("/api/task");
  // @ts-expect-error: a list is read with GET
  await api.PUT("/api/tasks", { body: { title: "Water the plants" } });
  // @ts-expect-error: open is no status
  await api.GET("/api/tasks", { params: { query: { status: "open" } } });
  // @ts-expect-error: nobody sorts by colour
  await api.GET("/api/tasks", { params: { query: { sort: "colour" } } });
  // @ts-expect-error: a limit is a number
  await api.GET("/api/tasks", { params: { query: { limit: "10" } } });
  // @ts-expect-error: a task has a title
  await api.POST("/api/tasks", { body: { description: "" } });
  // @ts-expect-error: a title is never null
  await api.POST("/api/tasks", { body: { title: null } });
  // @ts-expect-error: urgent is no priority
  await api.POST("/api/tasks", { body: { title: "Water the plants", priority: "urgent" } });
  // @ts-expect-error: a task has no colour
  const body: components["schemas"]["TaskCreate"] = { title: "Paint", colour: "green" };
  // @ts-expect-error: which task?
  await api.DELETE("/api/tasks/{task_id}");
  // @ts-expect-error: what is to be changed?
  await api.PATCH("/api/tasks/{task_id}", { params: { path } });
  // @ts-expect-error: completed is true or false
  await api.PATCH("/api/tasks/{task_id}", { params: { path }, body: { completed: "yes" } });
  // @ts-expect-error: there may be no due date
  const due: string = task.due_date;
  // @ts-expect-error: until the error is ruled out, there may be no tasks
  const tasks: components["schemas"]["TaskList"] = (await api.GET("/api/tasks")).data;
  console.log(body, due, tasks);
}
