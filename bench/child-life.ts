/**
 * How a process of the harness ends: with the harness, however that ends, and not by a terminal's
 * Ctrl-C, which reaches every process; the harness decides what ends when.
 */

export function endWithHarness(before: () => void = () => undefined): void {
  const end = (): void => {
    before();
    process.exit();
  };
  process.on('SIGINT', () => undefined);
  process.on('disconnect', end);
  // It may have ended while this process was still loading.
  if (!process.connected) end();
}
