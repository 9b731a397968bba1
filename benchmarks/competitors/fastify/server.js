// Fastify, pg and fast-jwt, optimised.
//
// Prepared statements, a cache of verified tokens, no logging. Measured and rejected: a
// response schema (JSON.stringify is faster than the serialiser that Fastify compiles from
// it), and Date objects for timestamps (creating and formatting them takes a third of the
// time of a long list).

import Fastify from 'fastify'
import { createVerifier } from 'fast-jwt'
import pg from 'pg'

const { BETTER_AUTH_SECRET, DATABASE_URL, PORT, POOL_SIZE, PIPELINING } = process.env
const TIMESTAMPTZ = 1184
const COLUMNS =
  'id, user_id, title, description, completed, priority, due_date, remind_at, tags, ' +
  'completed_at, created_at, updated_at'
const FIELDS = [
  'title', 'description', 'completed', 'priority', 'due_date', 'remind_at', 'tags'
]
const FILTERS = { all: '', pending: ' AND NOT completed', completed: ' AND completed' }
const SORT_ORDERS = {
  created: 'created_at DESC, id DESC',
  title: 'lower(title) COLLATE "C", id',
  due_date: 'due_date ASC NULLS LAST, id'
}

pg.types.setTypeParser(TIMESTAMPTZ, (text) => `${text.slice(0, 10)}T${text.slice(11, -3)}Z`)

const uuid = { type: 'string', format: 'uuid' }
const title = { type: 'string', minLength: 1, maxLength: 200, pattern: '\\S' }
const description = { type: 'string', maxLength: 1000, nullable: true }
const completed = { type: 'boolean' }
const priority = { type: 'string', enum: ['low', 'medium', 'high', 'urgent', null], nullable: true }
const due_date = { type: 'string', format: 'date-time', nullable: true }
const tag = { type: 'string', minLength: 1, maxLength: 50 }
const tags = { type: 'array', maxItems: 20, items: tag }
const fields = {
  title, description, completed, priority, due_date, remind_at: due_date, tags
}

const taskBody = { type: 'object', additionalProperties: false, properties: fields }
const params = { type: 'object', properties: { task_id: uuid } }
const querystring = {
  type: 'object',
  additionalProperties: false,
  properties: {
    status: { type: 'string', enum: Object.keys(FILTERS), default: 'all' },
    sort: { type: 'string', enum: Object.keys(SORT_ORDERS), default: 'created' },
    limit: { type: 'integer', minimum: 1, maximum: 10000, default: 10000 },
    offset: { type: 'integer', minimum: 0, default: 0 }
  }
}

const schemas = {
  list: { querystring },
  create: { body: { ...taskBody, required: ['title'] } },
  get: { params },
  update: { params, body: { ...taskBody, minProperties: 1 } },
  complete: { params }
}

// --- The database --------------------------------------------------------------------

const settings = {
  connectionString: DATABASE_URL,
  options: '-c search_path=todo -c timezone=UTC'
}

// With `pipeline: true` (pg 8.23) a client sends queries without waiting for earlier results.
// A pool would check a client out for one query at a time, so queries are distributed
// round-robin instead.
class PipelinedClients {
  static async connect(count) {
    const clients = Array.from(
      { length: count },
      () => new pg.Client({ ...settings, pipeline: true })
    )
    await Promise.all(clients.map((client) => client.connect()))
    return new PipelinedClients(clients)
  }

  constructor(clients) {
    this.clients = clients
    this.next = 0
  }

  query(query) {
    this.next = (this.next + 1) % this.clients.length
    return this.clients[this.next].query(query)
  }

  end() {
    return Promise.all(this.clients.map((client) => client.end()))
  }
}

const size = Number(POOL_SIZE)
const database =
  PIPELINING === 'on'
    ? await PipelinedClients.connect(size)
    : new pg.Pool({ ...settings, max: size, min: size })

async function queryRows(name, text, values) {
  return (await database.query({ name, text, values })).rows
}

const LIST_STATEMENTS = {}
for (const [status, filter] of Object.entries(FILTERS)) {
  for (const [sort, order] of Object.entries(SORT_ORDERS)) {
    LIST_STATEMENTS[`${status} ${sort}`] =
      `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1${filter} ` +
      `ORDER BY ${order} LIMIT $2 OFFSET $3`
  }
}
const GET = `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2`
const CREATE =
  'INSERT INTO tasks (user_id, id, title, description, completed, priority, due_date, ' +
  'remind_at, tags, completed_at) VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, $6, $7, $8, ' +
  `CASE WHEN $4 THEN now() END) RETURNING ${COLUMNS}`
const UPDATE_SUFFIX = `updated_at = now() WHERE user_id = $1 AND id = $2 RETURNING ${COLUMNS}`
const COMPLETE =
  'UPDATE tasks SET completed = NOT completed, ' +
  `completed_at = CASE WHEN NOT completed THEN now() END, ${UPDATE_SUFFIX}`

function updateStatement(names) {
  const assignments = names.map((name, index) => `${name} = $${index + 3}`)
  if (names.includes('completed')) {
    const completed = `$${names.indexOf('completed') + 3}`
    assignments.push(
      `completed_at = CASE WHEN ${completed} THEN coalesce(completed_at, now()) END`
    )
  }
  return `UPDATE tasks SET ${assignments.join(', ')}, ${UPDATE_SUFFIX}`
}

// --- The operations ------------------------------------------------------------------

const verify = createVerifier({
  key: BETTER_AUTH_SECRET,
  algorithms: ['HS256'],
  requiredClaims: ['sub', 'exp'],
  cache: 10_000,
  cacheKeyBuilder: (token) => token
})

const app = Fastify({ logger: false, ajv: { customOptions: { removeAdditional: false } } })

app.decorateRequest('user', '')
app.addHook('onRequest', (request, reply, done) => {
  const header = request.headers.authorization
  try {
    if (!header?.startsWith('Bearer ')) throw new Error('no token')
    request.user = verify(header.slice(7)).sub
    done()
  } catch {
    reply.code(401).header('WWW-Authenticate', 'Bearer').send({ detail: 'Unauthorized' })
  }
})

function oneOr404(tasks, reply) {
  if (tasks.length === 1) return tasks[0]
  reply.code(404)
  return { detail: 'No task has this id.' }
}

app.get('/api/tasks', { schema: schemas.list }, ({ user, query }) => {
  const name = `${query.status} ${query.sort}`
  return queryRows(name, LIST_STATEMENTS[name], [user, query.limit, query.offset])
})

app.post('/api/tasks', { schema: schemas.create }, async ({ user, body }, reply) => {
  const { title, description, completed = false, priority, due_date, remind_at } = body
  const { tags = [] } = body
  const values = [user, title, description, completed, priority, due_date, remind_at, tags]
  reply.code(201)
  return (await queryRows('create', CREATE, values))[0]
})

app.get('/api/tasks/:task_id', { schema: schemas.get }, async ({ user, params }, reply) =>
  oneOr404(await queryRows('get', GET, [user, params.task_id]), reply)
)

app.put(
  '/api/tasks/:task_id',
  { schema: schemas.update },
  async ({ user, params, body }, reply) => {
    const names = FIELDS.filter((name) => name in body)
    const values = [user, params.task_id, ...names.map((name) => body[name])]
    return oneOr404(await queryRows(`update ${names}`, updateStatement(names), values), reply)
  }
)

app.patch(
  '/api/tasks/:task_id/complete',
  { schema: schemas.complete },
  async ({ user, params }, reply) =>
    oneOr404(await queryRows('complete', COMPLETE, [user, params.task_id]), reply)
)

await app.listen({ host: '127.0.0.1', port: Number(PORT) })

process.on('SIGTERM', async () => {
  await app.close()
  await database.end()
})
