import Checkpoint
import Diffusion
import Pictures

// Draw "PROMPT" OUTPUT.png [CHECKPOINT]: generates an image, with a preview at every fifth evaluation.
let arguments = CommandLine.arguments
guard arguments.count >= 3 else { fatalError("give a prompt and an output") }
let path = try arguments.count > 3 ? arguments[3] : EmbeddedModel.path()
// The model is loaded, and works, on a thread of its own.
let generator = try await ImageGenerator(ModelCheckpoint.open(path))

var request = GenerationRequest(prompt: arguments[1])
request.steps = 20
request.seed = 42
request.guidanceScale = arguments.count > 3 ? 7.5 : Float(EmbeddedModel.guidance)

let output = arguments[2]
// Each step is computed when the loop asks for it; `break` would stop the work.
for try await step in generator.draw(request) {
  if step.stage == .denoising, step.evaluation > 0, step.evaluation % 5 == 0 {
    print("evaluation \(step.evaluation) of \(step.evaluationCount)")
    // What the model predicts so far. Only steps that are asked for one are decoded.
    let preview = try await generator.preview(of: step)
    try PNG.write(preview, to: "\(output).\(step.evaluation).png", overwrite: true)
  }
  if let result = step.result {
    try PNG.write(result.image, to: output, overwrite: true)
    print("\(output): \(result.image.width)x\(result.image.height)")
  }
}
