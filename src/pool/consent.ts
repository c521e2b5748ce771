import { type ErrorCode, HoldfastError } from "../base/errors.ts";
import { CONSENT_NO_MS, REFUSAL_REPEAT_MS, REFUSAL_REPEATS_MAX } from "../base/limits.ts";
import type { PoolNeeds } from "./needs.ts";

/** Which sites may use Holdfast. Asks the user once; a dismissed question is a "no" for an hour. */
export class ConsentDesk {
  private readonly asking = new Map<string, Promise<void>>();

  constructor(private readonly needs: PoolNeeds) {}

  /** Resolves when the origin may go on; throws PERMISSION_DENIED otherwise. */
  async require(origin: string, framedBy: string | null): Promise<void> {
    if (!/^https?:\/\//.test(origin)) {
      throw await this.refuse(
        origin,
        `Holdfast serves pages of http and https origins only; use one in a tab of its own${framedBy === null ? "." : `, not inside ${framedBy}.`}`,
      );
    }
    if (framedBy !== null) {
      throw await this.refuse(
        origin,
        `Holdfast does not serve a site inside another site (${framedBy}); open it in a tab of its own.`,
      );
    }
    const known = this.needs.journal.state.consents[origin];
    if (known?.allowed === true) return;
    if (known !== undefined && this.needs.now() - known.at < CONSENT_NO_MS) {
      throw await this.refuse(
        origin,
        "The user said no less than an hour ago; ask them to allow this site in Holdfast's popup, or wait.",
      );
    }
    let question = this.asking.get(origin);
    if (question === undefined) {
      question = this.ask(origin).finally(() => this.asking.delete(origin));
      this.asking.set(origin, question);
    }
    await question;
  }

  async allowed(origin: string): Promise<boolean> {
    return this.needs.journal.state.consents[origin]?.allowed === true;
  }

  /** Logs a refusal and makes the error for it. */
  async refuse(origin: string, reason: string, code: ErrorCode = "PERMISSION_DENIED"): Promise<HoldfastError> {
    const at = this.needs.now();
    // A page that asks again and again fills neither the journal nor the list that people read.
    const known = this.needs.journal.state.refusals.filter(
      (row) => row.origin === origin && row.reason === reason && at - row.at < REFUSAL_REPEAT_MS,
    );
    if (known.length < REFUSAL_REPEATS_MAX)
      await this.needs.journal.append({ action: "refuse", data: { at, origin, code, reason } });
    return new HoldfastError(code, reason);
  }

  private async ask(origin: string): Promise<void> {
    const answer = await this.needs.askConsent(origin);
    const allowed = answer === true;
    // The window's own message has noted a "yes" or "no"; a dismissal comes without one.
    if (answer === null)
      await this.needs.journal.append({ action: "set_consent", data: { origin, allowed, at: this.needs.now() } });
    if (!allowed)
      throw await this.refuse(
        origin,
        "The user did not allow this site to use Holdfast; try again in an hour or ask them to allow it in the popup.",
      );
  }
}
