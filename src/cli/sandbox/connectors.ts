/**
 * The transaction managers of a sandbox: a connector for each organisation, in the sandbox's own
 * process, with sessions to all nodes.
 */
import { readFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { hexOf, utf8 } from '../../base/bytes.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../base/limits.ts';
import { judgeBy } from '../../client/node-judge.ts';
import { type Connector, startConnector } from '../../connector/connector.ts';
import { sha256 } from '../../crypto/hash.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { NodeLog } from '../../node/node-options.ts';
import { realClock } from '../../node/real-time.ts';
import type { HeldPorts } from './ports.ts';
import type { SandboxFolder } from './sandbox-folder.ts';

/** Starts the connector of an organisation. */
export async function connectOrganisation(
  folder: SandboxFolder,
  number: number,
  nodeUrls: readonly string[],
  ports: HeldPorts,
  log: NodeLog,
): Promise<Connector> {
  const files = folder.organisation(number);
  return await startConnector(
    {
      service: {
        // Each prefers another node, so that reads are spread.
        nodeUrls: nodeUrls.map((_, at) => nodeUrls[(at + number - 1) % nodeUrls.length] ?? ''),
        serviceCertificate: readFileSync(folder.serviceCertificate, 'utf8'),
        certificate: readFileSync(files.certificate, 'utf8'),
        key: readFileSync(files.key, 'utf8'),
      },
      socket: { path: socketPath(files.folder) },
      http: { port: await ports.release(`transactionManager${number}`) },
      thirdParty: { port: await ports.release(`thirdParty${number}`) },
    },
    {
      log: (line) => log.warn(`${files.folder}: ${line}`),
      // A sandbox's nodes are virtual, and say so.
      judge: judgeBy(
        { platforms: { virtual: {} } },
        {
          verifier: nodeVerifier,
          clock: realClock,
          onRefused: (message) => log.warn(`${files.folder}: ${message}`),
        },
      ),
    },
  );
}

/**
 * Beside the organisation's keys; where that is too long for a socket's path, in a folder of this
 * user's whose short name is the same at every start.
 */
function socketPath(organisationFolder: string): string {
  const path = join(organisationFolder, 'tm.ipc');
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  const name = hexOf(sha256(utf8(organisationFolder))).slice(0, 16);
  return join(tmpdir(), `concordat-${userInfo().uid}-${name}`, 'tm.ipc');
}
