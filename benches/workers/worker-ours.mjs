import { expose } from "tidegate/workers";

expose({ noop() {} });
