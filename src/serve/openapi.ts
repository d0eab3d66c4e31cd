/** `GET /openapi.json`: the API as an OpenAPI 3.0 document, generated from the server's own schemas. Any thread. */
import { gradloomVersion } from '../version.js'
import { EVENTS, OPERATIONS, type Operation } from './operations.js'

interface ObjectSchema {
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, object>>
}

const JSON_TYPE = 'application/json'

export function openApi(): object {
  return {
    openapi: '3.0.3',
    info: { title: 'gradloom', version: gradloomVersion(), description: 'Networks and runs of `gradloom serve`.' },
    paths: {
      ...Object.fromEntries(
        Object.entries<Operation>(OPERATIONS).map(([id, operation]) => [
          pathOf(operation.url),
          { [operation.method.toLowerCase()]: operationOf(id, operation) },
        ]),
      ),
      [EVENTS.url]: {
        get: {
          operationId: 'events',
          summary: EVENTS.summary,
          description: EVENTS.description,
          responses: {
            200: { description: 'Events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
          },
        },
      },
    },
  }
}

/** Converts a route to OpenAPI's form: `/runs/:id` becomes `/runs/{id}`. */
export const pathOf = (url: string): string => url.replace(/:(\w+)/g, '{$1}')

function operationOf(operationId: string, { schema }: Operation): object {
  const { summary, description, params, querystring, body, response } = schema
  return {
    ...{ operationId, summary, ...(description !== undefined && { description }) },
    parameters: [...parametersOf('path', params), ...parametersOf('query', querystring)],
    ...(body && { requestBody: { required: true, content: { [JSON_TYPE]: { schema: body } } } }),
    responses: Object.fromEntries(
      Object.entries(response).map(([status, answer]) => [
        status,
        { description: status === '200' ? summary : 'What is wrong', content: { [JSON_TYPE]: { schema: answer } } },
      ]),
    ),
  }
}

function parametersOf(where: 'path' | 'query', schema: ObjectSchema = {}): object[] {
  const { properties = {}, required = [] } = schema
  return Object.entries(properties).map(([name, of]) => ({
    ...{ name, in: where, required: required.includes(name), schema: of },
  }))
}
