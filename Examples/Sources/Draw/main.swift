import Checkpoint
import Diffusion
import Pictures

// Draw "PROMPT" OUTPUT.png [CHECKPOINT]: draws an image, with a preview at every fifth evaluation.
let arguments = CommandLine.arguments
guard arguments.count >= 3 else { fatalError("give a prompt and an output") }
let model = try DiffusionModel(
  ModelCheckpoint.open(arguments.count > 3 ? arguments[3] : EmbeddedModel.path()))

var request = GenerationRequest(prompt: arguments[1])
request.steps = 20
request.seed = 42
request.guidanceScale = arguments.count > 3 ? 7.5 : Float(EmbeddedModel.guidance)

let output = arguments[2]
let result = try model.draw(request) { progress in
  let count = progress.evaluations
  guard progress.stage == .denoising, count > 0, count % 5 == 0 else { return true }
  print("evaluation \(count) of \(progress.total)")
  // The latents so far, decoded like the finished ones.
  if let preview = try? model.decodePreview(progress.latents) {
    try? PNG.write(preview, to: "\(output).\(count).png", overwrite: true)
  }
  return true
}
try PNG.write(result.image, to: output, overwrite: true)
print("\(output): \(result.image.width)x\(result.image.height)")
