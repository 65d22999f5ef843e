import Checkpoint

// Convert SOURCE OUTPUT: writes a checkpoint as one safetensors file in F16, the names as in the
// original Stable Diffusion releases.
let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("name a checkpoint and an output") }
let checkpoint = try ModelCheckpoint.open(arguments[1])

// Everything is planned, and rejected if impossible, before the first byte is written.
let options = Conversion.Options(dtype: .float16)
let conversion = try Conversion(of: checkpoint, to: .ldm, at: arguments[2], options: options)
for drop in conversion.drops { print("left out: \(drop.name): \(drop.reason)") }

// The output appears when it is complete, or not at all.
let outcome = try conversion.execute()
for cast in outcome.saturated { print("\(cast.tensor): \(cast.count) values saturated") }
print("wrote \(arguments[2])")
