/**
 * Settings for all nodes of a sandbox from a file, `--node-settings FILE`: part of a node's
 * configuration, laid over what the sandbox says itself. The node judges the whole.
 */
import { CodedError } from '../../base/errors.ts';
import { readJson } from '../node/party-keys-file.ts';

export type NodeSettings = Readonly<Record<string, unknown>>;

/** Reads such a file. Throws `BadNodeSettings`. */
export function readNodeSettings(path: string): NodeSettings {
  const bad = (why: string): CodedError =>
    new CodedError('BadNodeSettings', `${path}: ${why}`, { path });
  const given = readJson(path, bad);
  if (!isObject(given)) throw bad("an object of a node's settings is expected");
  return given;
}

/** Objects are merged, all other values replaced. */
export function withSettings(
  configuration: NodeSettings,
  settings: NodeSettings,
): NodeSettings {
  const merged: Record<string, unknown> = { ...configuration };
  for (const [name, value] of Object.entries(settings)) {
    const before = merged[name];
    merged[name] = isObject(before) && isObject(value) ? withSettings(before, value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is NodeSettings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
