/**
 * `/gov/service/…` (http-api.md §11): what the ledger's governance tables say of the service, its
 * members, users and nodes, and of the applications that members installed.
 */
import type { AppRequest, AppResponse, Endpoint } from '../../apps/interface.ts';
import { textOf, utf8 } from '../../base/bytes.ts';
import { textOfTxId, txIdOfText } from '../../base/ids.ts';
import {
  CONSTITUTION,
  MEMBER_CERTS,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  SERVICE_CONFIG,
  SERVICE_INFO,
  SINGLETON,
  USER_CERTS,
} from '../../governance/tables.ts';
import type { ReadView } from '../../kv/tables.ts';
import { errorAnswer } from '../answers.ts';
import type { Backend } from '../backend.ts';
import { queryValue } from '../query.ts';
import {
  allRows,
  idIn,
  type JsonObject,
  objectIn,
  reading,
  scriptAnswer,
  sortedAnswer,
} from './gov-request.ts';

const GOV = 'public:ccf.gov.';
const DAYS_DEFAULT = 365;
const WINDOW_DEFAULT = 100;

export function serviceEndpoints(backend: Pick<Backend, 'committed' | 'statusOf'>): Endpoint[] {
  return [
    reading('/service/info', 'The service', (_request, view) => sortedAnswer(serviceOf(view))),
    reading('/service/constitution', 'The constitution', (_request, view) => {
      const row = view.table(CONSTITUTION).get(SINGLETON);
      return row === undefined
        ? notFound('No constitution is set.')
        : scriptAnswer(JSON.parse(textOf(row)) as string);
    }),
    ...collection('members', 'memberId', 'Member m', MEMBER_CERTS, memberOf),
    ...collection('users', 'userId', 'User u', USER_CERTS, userOf),
    reading('/service/javascript-app', 'Endpoints of the script application', appAnswer, {
      isNew: true,
    }),
    reading(
      '/service/javascript-modules',
      'Modules of the script application',
      (_request, view) => {
        const rows = allRows(view.table(`${GOV}modules`));
        return sortedAnswer({ value: rows.map(({ key }) => ({ moduleName: textOf(key) })) });
      },
      { isNew: true },
    ),
    reading('/service/javascript-modules/{moduleName}', 'One module', moduleAnswer, {
      isNew: true,
    }),
    reading('/service/jwk', 'Issuers of tokens, with their keys', jwkAnswer),
    reading(
      '/service/transactions/commit',
      'The last committed transaction',
      () => {
        const committed = backend.committed();
        const status = backend.statusOf(committed);
        return sortedAnswer({ status, transactionId: textOfTxId(committed) });
      },
      { withoutState: true },
    ),
    reading(
      '/service/transactions/{transactionId}',
      'The status of a transaction',
      ({ params }) => {
        const text = params.transactionId ?? '';
        const txId = txIdOfText(text);
        if (txId === undefined) {
          const message =
            `The value '${text.slice(0, 80)}' of transactionId cannot be converted to a ` +
            'transaction ID: it is <view>.<seqno>';
          return errorAnswer(400, 'InvalidQueryParameterValue', message);
        }
        return sortedAnswer({ status: backend.statusOf(txId), transactionId: text });
      },
      { withoutState: true },
    ),
  ];
}

type Shown = (view: ReadView, id: string, pem: string) => unknown;

/** A table of certificates as a list, and one entry of it. */
function collection(
  name: string,
  parameter: string,
  noun: string,
  table: string,
  shown: Shown,
): readonly Endpoint[] {
  return [
    reading(`/service/${name}`, `All ${name}`, (_request, view) => {
      const rows = allRows(view.table(table));
      const value = rows.map((row) => shown(view, textOf(row.key), textOf(row.value)));
      return sortedAnswer({ value });
    }),
    reading(`/service/${name}/{${parameter}}`, `One of the ${name}`, (request, view) => {
      const id = idIn(request, parameter);
      const pem = view.table(table).get(utf8(id));
      if (pem === undefined) return notFound(`${noun}[${id}] does not exist.`);
      return sortedAnswer(shown(view, id, textOf(pem)));
    }),
  ];
}

function memberOf(view: ReadView, memberId: string, certificate: string): unknown {
  const info = objectIn(view.table(MEMBER_INFO).get(utf8(memberId)));
  const key = view.table(MEMBER_ENCRYPTION_KEYS).get(utf8(memberId));
  const role = key === undefined ? 'NonParticipant' : 'Participant';
  return {
    memberId,
    status: info.status,
    memberData: info.member_data ?? null,
    certificate,
    ...(key === undefined ? {} : { publicEncryptionKey: textOf(key) }),
    recoveryRole: info.recovery_role ?? role,
  };
}

function userOf(view: ReadView, userId: string, certificate: string): unknown {
  const row = view.table(`${GOV}users.info`).get(utf8(userId));
  // CCF shows the whole row here, which has a member `user_data` of its own.
  return { userId, certificate, userData: row === undefined ? null : objectIn(row) };
}

function serviceOf(view: ReadView): unknown {
  const info = objectIn(view.table(SERVICE_INFO).get(SINGLETON));
  const config = objectIn(view.table(SERVICE_CONFIG).get(SINGLETON));
  return {
    status: info.status,
    certificate: info.cert,
    recoveryCount: info.recovery_count ?? 0,
    creationTransactionId: info.current_service_create_txid,
    previousServiceCreationTransactionId: info.previous_service_create_txid,
    serviceData: info.service_data ?? null,
    configuration: {
      recoveryThreshold: config.recovery_threshold,
      maximumNodeCertificateValidityDays:
        config.maximum_node_certificate_validity_days ?? DAYS_DEFAULT,
      maximumServiceCertificateValidityDays:
        config.maximum_service_certificate_validity_days ?? DAYS_DEFAULT,
      recentCoseProposalsWindowSize: config.recent_cose_proposals_window_size ?? WINDOW_DEFAULT,
    },
  };
}

const CAMEL: Readonly<Record<string, string>> = {
  js_module: 'jsModule',
  js_function: 'jsFunction',
  forwarding_required: 'forwardingRequired',
  redirection_strategy: 'redirectionStrategy',
  authn_policies: 'authnPolicies',
  mode: 'mode',
  openapi: 'openApi',
};

function appAnswer({ query }: AppRequest, view: ReadView): AppResponse {
  const original = queryValue(query, 'case') === 'original';
  const endpoints: Record<string, Record<string, JsonObject>> = {};
  for (const { key, value } of allRows(view.table(`${GOV}endpoints`))) {
    const [verb = '', path = ''] = textOf(key).split(' ');
    const row = objectIn(value);
    endpoints[path] ??= {};
    endpoints[path][verb] = original ? row : inCamelCase(row);
  }
  return sortedAnswer({ endpoints });
}

function inCamelCase(row: JsonObject): JsonObject {
  const members = Object.entries(CAMEL).map(([snake, camel]) => [camel, row[snake] ?? null]);
  return Object.fromEntries(members);
}

function moduleAnswer({ params }: AppRequest, view: ReadView): AppResponse {
  const name = decoded(params.moduleName ?? '');
  const source = name === undefined ? undefined : view.table(`${GOV}modules`).get(utf8(name));
  return source === undefined
    ? notFound(`Module '${params.moduleName?.slice(0, 200)}' does not exist.`)
    : scriptAnswer(textOf(source));
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function jwkAnswer(_request: AppRequest, view: ReadView): AppResponse {
  const entries = (table: string, shown: (row: Uint8Array) => unknown): JsonObject =>
    Object.fromEntries(
      allRows(view.table(GOV + table)).map(({ key, value }) => [textOf(key), shown(value)]),
    );
  const issuers = entries('jwt.issuers', (row) => {
    const { auto_refresh, ca_cert_bundle_name } = objectIn(row);
    return { autoRefresh: auto_refresh ?? false, caCertBundleName: ca_cert_bundle_name };
  });
  const keys = entries('jwt.public_signing_keys_metadata_v2', (row) => {
    const list = JSON.parse(textOf(row)) as readonly JsonObject[];
    return list.map(({ public_key, issuer, constraint }) => ({
      publicKey: pemOfKey(String(public_key)),
      issuer,
      constraint: constraint ?? null,
    }));
  });
  const caCertBundles = entries('tls.ca_cert_bundles', (row) => JSON.parse(textOf(row)));
  return sortedAnswer({ issuers, keys, caCertBundles });
}

function pemOfKey(base64: string): string {
  const lines = base64.replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`;
}

function notFound(message: string): AppResponse {
  return errorAnswer(404, 'ResourceNotFound', message);
}
