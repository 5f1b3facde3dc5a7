// Stories of a few nodes, one a file, played step by step (testing.md, CCF's grammar).

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ScenarioPlayer } from './scenario-player.ts';

const folder = join(import.meta.dirname, 'scenarios');
const names = readdirSync(folder).sort();
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('scenarios', () => {
  test('are at least thirty, and each opens with its story', () => {
    expect(names.length).toBeGreaterThanOrEqual(30);
    expect(names.filter((name) => !read(name).startsWith('# '))).toEqual([]);
  });

  test.each(names)('%s', (name) => {
    new ScenarioPlayer().play(read(name));
  });

  test('name the line that fails', () => {
    const story = 'start_node,0\n\nemit_signature,2\nassert_commit_idx,0,3\n';
    expect(() => new ScenarioPlayer().play(story)).toThrow(
      'line 4, assert_commit_idx,0,3: the commit index of 0 is "2", not "3"',
    );
  });

  test('with a command that is not there are refused', () => {
    expect(() => new ScenarioPlayer().play('start_node,0\nsleep,1')).toThrow(
      'no command sleep',
    );
  });
});
