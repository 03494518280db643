package lattice

// FieldProblem says what is wrong with a member of an input, which is named by its path: "config.healthCheck.path".
type FieldProblem struct{ Field, Message string }
