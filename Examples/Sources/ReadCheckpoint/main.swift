import Checkpoint

// ReadCheckpoint [PATH]: describes a checkpoint. Default: the bundled model.
let path = try CommandLine.arguments.dropFirst().first ?? EmbeddedModel.path()
let checkpoint = try ModelCheckpoint.open(path)
let summary = Summary(checkpoint)

print("\(summary.recognition.family.name), \(summary.format)")
for component in summary.components {
  print(
    "  \(component.name.rawValue): \(component.parameters) parameters in \(component.tensors) tensors"
  )
  for missing in component.missing { print("    missing: \(missing)") }
}
for warning in summary.warnings { print("  warning: \(warning)") }

// What Python would run on unpickling the file. Nothing is run here.
print("pickles: \(summary.safety.verdict)")
