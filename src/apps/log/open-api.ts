/**
 * The log's operations for the OpenAPI document.
 */

const ID = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const MESSAGE = {
  type: 'object',
  required: ['msg'],
  properties: { msg: { type: 'string' } },
} as const;

export const ID_PARAMETER = {
  parameters: [{ in: 'query', name: 'id', required: true, schema: ID }],
} as const;

export const ENTRY_BODY = {
  requestBody: {
    required: true,
    content: {
      'application/json': {
        schema: {
          type: 'object',
          required: ['id', 'msg'],
          properties: {
            id: ID,
            msg: { type: 'string', minLength: 1 },
            record_claim: { type: 'boolean' },
          },
        },
      },
    },
  },
} as const;

export const TEXT_BODY = {
  parameters: [
    {
      in: 'path',
      name: 'id',
      required: true,
      schema: { type: 'string', pattern: '^[0-9]{1,15}$' },
    },
  ],
  requestBody: {
    required: true,
    content: { 'text/plain': { schema: { type: 'string' } } },
  },
} as const;

export const EMPTY_RESULT = { responses: { '200': { description: 'Recorded' } } } as const;
export const BOOLEAN_RESULT = result({ type: 'boolean' });
export const COUNT_RESULT = result({ type: 'integer', minimum: 0 });
export const MESSAGE_RESULT = result(MESSAGE);
export const UNCHANGED_RESULT = {
  responses: {
    ...MESSAGE_RESULT.responses,
    '304': { description: 'The message is the one that if-none-match names' },
  },
} as const;

function result(schema: Readonly<Record<string, unknown>>): {
  readonly responses: Readonly<Record<string, unknown>>;
} {
  const content = { 'application/json': { schema } };
  return { responses: { '200': { description: 'Done', content } } };
}
