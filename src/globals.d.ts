/** True in the test build only: hosts can be held in a phase so that a fault can be aimed. */
declare const __FAULT_HOOKS__: boolean;
