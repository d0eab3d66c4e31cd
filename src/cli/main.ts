#!/usr/bin/env node
/** Entry point of the `gradloom` program; main thread. scripts/bundle.mjs puts the bundle of run.ts in its place. */
import './run.js'
