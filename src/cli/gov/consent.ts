/**
 * `concordat gov consent`: an organisation agrees to one action about itself, with its admin key
 * (`governance/constitution/organisations.ts` says what is signed).
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../../base/errors.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import { SigningKey } from '../../crypto/keys.ts';
import type { Action } from '../action.ts';
import { EXIT } from '../exit-codes.ts';
import { PLACE_OPTIONS, PLACE_USAGE, readGov, serviceOf } from './place.ts';
import { usage } from './usage.ts';

export const CONSENT: Action = {
  name: 'consent',
  usage: `Usage: concordat gov consent FILE --admin-key PEM (--data DIR | --url URL …)

Signs an organisation's consent to the action in FILE, {"name": …, "args": {"organisation_id": …}},
and prints the action with it, to be put into a proposal. A consent counts once, and only before
any later one of that organisation.

  --admin-key PEM             the organisation's admin key
  --after N                   for a proposal that has N consents of it before this one
${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: { ...PLACE_OPTIONS, 'admin-key': { type: 'string' }, after: { type: 'string' } },
    });
    const [file, ...rest] = positionals;
    const keyFile = values['admin-key'];
    if (file === undefined || rest.length > 0) throw usage('name one FILE');
    if (keyFile === undefined) throw usage('--admin-key is missing');
    const after = Number(values.after ?? '0');
    if (!Number.isSafeInteger(after) || after < 0) throw usage('--after is a number');
    const action = actionIn(file);
    const service = serviceOf(values);
    const info = JSON.parse(await readGov(service, '/service/info')) as { certificate: string };
    const given = await consentsOf(action.args.organisation_id, (path) =>
      readGov(service, path),
    );
    const key = SigningKey.fromPem(readFileSync(keyFile, 'utf8'));
    const serviceId = certificateIdOf(info.certificate);
    const text = consentText(serviceId, given + 1 + after, action);
    const signature = Buffer.from(await key.sign(Buffer.from(text))).toString('hex');
    const { name, args: agreed } = action;
    io.out(JSON.stringify({ name, args: { ...agreed, consent: { signature } } }));
    return EXIT.good;
  },
};

interface ConsentedAction {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>> & { readonly organisation_id: string };
}

function actionIn(file: string): ConsentedAction {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new CodedError('BadAction', `${file} is not JSON: ${messageOf(cause)}`, { file });
  }
  const name: unknown = Reflect.get(Object(value), 'name');
  const args: unknown = Reflect.get(Object(value), 'args');
  const id: unknown = Reflect.get(Object(args), 'organisation_id');
  if (typeof name !== 'string' || typeof id !== 'string') {
    const why = `${file} is no action: {"name": …, "args": {"organisation_id": …, …}}`;
    throw new CodedError('BadAction', why, { file });
  }
  const { consent: _, ...others } = args as Readonly<Record<string, unknown>>;
  return { name, args: { ...others, organisation_id: id } };
}

interface ShownOrganisation {
  readonly organisationId: string;
  readonly consents: number;
}

/** How many consents of an organisation counted so far. */
async function consentsOf(
  id: string,
  read: (path: string) => Promise<string>,
): Promise<number> {
  const { value } = JSON.parse(await read('/concordat/organisations')) as {
    readonly value: readonly ShownOrganisation[];
  };
  // One that the same proposal creates has given none.
  return value.find(({ organisationId }) => organisationId === id)?.consents ?? 0;
}

/** What is signed. */
function consentText(
  serviceId: string,
  number: number,
  { name, args }: ConsentedAction,
): string {
  const { organisation_id, ...others } = args;
  const parts = ['concordat.consent', serviceId, organisation_id, number, name, sorted(others)];
  return JSON.stringify(parts);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
