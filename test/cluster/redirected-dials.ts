// Loaded into the processes of a sandbox's nodes (NODE_OPTIONS=--import), and into none but theirs:
// what a node dials to a node goes to the test's switchboard, as a rule of the system's own packet
// filter would send it there, after a line that says whose it is and where it was to go. Nothing
// else of the node is touched; the switchboard sees TLS.

import { syncBuiltinESMExports } from 'node:module';
import { connect as dial } from 'node:net';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';

const switchboard = Number(process.env.CONCORDAT_TEST_SWITCHBOARD);
const connectDirectly = tls.connect;

function isBetweenNodes({ ALPNProtocols: protocols }: ConnectionOptions): boolean {
  return (
    Array.isArray(protocols) && protocols.some((name) => `${name}`.startsWith('concordat'))
  );
}

function connect(options: ConnectionOptions, listener?: () => void): TLSSocket {
  if (!isBetweenNodes(options)) return connectDirectly(options, listener);
  const socket = dial(switchboard, '127.0.0.1');
  socket.write(`${process.pid} ${options.host ?? ''} ${options.port ?? 0}\n`);
  const secure = connectDirectly({ ...options, socket }, listener);
  socket.on('error', (error) => secure.destroy(error));
  return secure;
}

if (switchboard > 0) {
  Object.assign(tls, { connect });
  syncBuiltinESMExports();
}
