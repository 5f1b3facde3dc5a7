/**
 * All nodes of a sandbox, from the first one alone to a service of several, and back at each start.
 */
import { existsSync } from 'node:fs';
import type { NodeLog } from '../../node/node-options.ts';
import type { NodeReadyLine } from '../node/node-ready.ts';
import { NodeChild } from './node-child.ts';
import { nodeConfiguration, type SandboxPlan } from './node-configuration.ts';
import { type HeldPorts, LOOPBACK } from './ports.ts';
import { portNames } from './sandbox-folder.ts';
import { trustNodes } from './trusting.ts';

export class NodeCluster {
  readonly #plan: SandboxPlan;
  readonly #count: number;
  readonly #restarts: boolean;
  readonly #ports: HeldPorts;
  readonly #log: NodeLog;
  readonly #children: NodeChild[] = [];

  constructor(
    plan: SandboxPlan,
    count: number,
    restarts: boolean,
    ports: HeldPorts,
    log: NodeLog,
  ) {
    this.#plan = plan;
    this.#count = count;
    this.#restarts = restarts;
    this.#ports = ports;
    this.#log = log;
  }

  /** Starts all; resolves when all are ready, and rejects as soon as one cannot be. */
  async start(): Promise<readonly NodeReadyLine[]> {
    const { folder } = this.#plan;
    const lives: Promise<NodeReadyLine>[] = [];
    for (let number = 1; number <= this.#count; number += 1) {
      lives.push(this.#startNode(number));
      // Joiners must be told whose service they join; when all start again, no node is ready
      // before a majority of them is there.
      if (!existsSync(folder.serviceCertificate)) await lives[0];
    }
    const ready = Promise.all(lives);
    if (this.#count > 1) {
      const addresses = lives.map((_, index) => this.#addressOf(index + 1));
      await trustNodes(folder, `https://${addresses[0]}`, addresses, ready, this.#log);
    }
    return await ready;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()));
  }

  async #startNode(number: number): Promise<NodeReadyLine> {
    this.#log.info(`starting node ${number} of ${this.#count}`);
    const child = new NodeChild(
      {
        number,
        action: number === 1 ? 'start' : 'join',
        config: nodeConfiguration(this.#plan, number),
        restarts: this.#restarts,
      },
      this.#log,
    );
    this.#children.push(child);
    for (const name of Object.values(portNames(number))) await this.#ports.release(name);
    return await child.start();
  }

  /** Where clients reach a node. */
  #addressOf(number: number): string {
    return `${LOOPBACK}:${this.#ports.of(portNames(number).rpc)}`;
  }
}
