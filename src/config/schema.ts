export type Experiment = object
