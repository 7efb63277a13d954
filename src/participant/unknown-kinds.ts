import type { Telemetry } from '../ports/telemetry.ts';

/** Kinds that the log names. */
const NAMED_MAX = 16;

/** Kinds of messages that a later coordinator says and this version does not know: each is logged once, and passed over. */
export class UnknownKinds {
  readonly #telemetry: Telemetry;
  readonly #named = new Set<number>();

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** Notes a message by the number of its field. */
  note(field: number): void {
    this.#telemetry.count('consilium_messages_unknown_total');
    if (this.#named.has(field) || this.#named.size >= NAMED_MAX) return;
    this.#named.add(field);
    const message = 'the coordinator says what this version does not know; upgrade this site';
    this.#telemetry.log('warn', message, { field });
  }
}
