import { startHostPage } from "../src/adapters/host-page.ts";

startHostPage("tab");
