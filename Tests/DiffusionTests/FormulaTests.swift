import Diffusion
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// The formulas of docs/article.md in double precision, compared with what the schedulers compute.
///
/// Sources: Ho, Jain and Abbeel (2020), formulas 4, 6, 7 and 11; Song, Meng and Ermon (2021),
/// formula 12.
@Suite struct FormulaTests {
  /// A network's prediction, and latents; any numbers will do.
  static let latents: [Float] = [0.5, -1.25, 2, 0.125]
  static let prediction: [Float] = [1, -0.5, 0.75, -2]

  /// Stable Diffusion's betas, evenly spaced in their square roots; and the products of 1 - beta.
  private static let schedule: (betas: [Double], products: [Double]) = {
    let (first, last) = (0.00085.squareRoot(), 0.012.squareRoot())
    let betas = (0..<1000).map { index in
      let root = first + (last - first) * Double(index) / 999
      return root * root
    }
    var products: [Double] = []
    for beta in betas { products.append((products.last ?? 1) * (1 - beta)) }
    return (betas, products)
  }()

  private static func step(
    _ scheduler: any Scheduler, at evaluation: Int, _ random: inout any RandomSource
  ) -> [Float] {
    var scheduler = scheduler
    return scheduler.step(
      modelOutput: prediction, at: evaluation, sample: latents, random: &random)
  }

  private static func made(_ name: SchedulerDescriptor, steps: Int) throws -> any Scheduler {
    var configuration = try SchedulerConfiguration(SchedulerTests.stableDiffusion)
    configuration.stepsOffset = 0
    return try configuration.scheduler(name, steps: steps)
  }

  /// x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε.
  @Test(arguments: [999, 500, 1, 0])
  func forward(timestep: Int) throws {
    let product = Self.schedule.products[timestep]
    let scheduler = try Self.made(.ddpm, steps: 1000)
    let found = scheduler.noised(Self.latents, with: Self.prediction, at: 999 - timestep)
    let expected = zip(Self.latents, Self.prediction).map {
      Float(product.squareRoot() * Double($0) + (1 - product).squareRoot() * Double($1))
    }
    #expect(Difference.relative(found, expected) < 1e-5)
    let process = ForwardProcess(cumulativeAlphas: Self.schedule.products.map { Float($0) })
    let shape = [1, 4, 1, 1]
    let latents = process.latents(
      Latents(Self.latents, shape: shape), Latents(Self.prediction, shape: shape), at: timestep)
    #expect(Difference.relative(latents.values, expected) < 1e-5)
  }

  /// x_t is made of the x_0 and ε that a prediction says, whatever the network predicts and whatever
  /// scale the scheduler has.
  @Test(
    arguments: [SchedulerDescriptor.ddim, .euler, .dpmppMultistep],
    [SchedulerConfiguration.PredictionType.epsilon, .velocity, .sample])
  func predictionsAddUp(
    _ name: SchedulerDescriptor, _ type: SchedulerConfiguration.PredictionType
  ) throws {
    let scheduler = try Self.made(name, steps: 10)
    for evaluation in [0, 4, 9] {
      let prediction = Prediction(
        scheduler, at: evaluation, latents: Latents(Self.latents, shape: [1, 4, 1, 1]),
        output: Self.prediction, type: type)
      let sigma = Double(prediction.sigma)
      let signal = 1 / (1 + sigma * sigma).squareRoot()
      let pairs = zip(prediction.picture.values, prediction.noise.values)
      let sum: [Float] = pairs.map { picture, noise in
        Float(signal * (Double(picture) + sigma * Double(noise)))
      }
      #expect(Difference.relative(sum, prediction.mixed.values) < 1e-5)
    }
  }

  /// The posterior's mean and variance with the estimate of x_0, and the reparameterized step:
  /// DDPM with 1,000 steps goes from each timestep to the one before.
  @Test(arguments: [999, 500, 10, 1])
  func posterior(timestep: Int) throws {
    let (betas, products) = Self.schedule
    let (beta, product, previous) = (betas[timestep], products[timestep], products[timestep - 1])
    var random: any RandomSource = TorchRandom(seed: 7)
    let found = Self.step(try Self.made(.ddpm, steps: 1000), at: 999 - timestep, &random)
    random = TorchRandom(seed: 7)
    let noise = random.normal(count: Self.latents.count)
    let deviation = ((1 - previous) / (1 - product) * beta).squareRoot()
    var fromPosterior: [Float] = []
    var reparameterized: [Float] = []
    for (index, latent) in Self.latents.enumerated() {
      let (x, e, z) = (Double(latent), Double(Self.prediction[index]), Double(noise[index]))
      let original = (x - (1 - product).squareRoot() * e) / product.squareRoot()
      let mean =
        previous.squareRoot() * beta / (1 - product) * original
        + (1 - beta).squareRoot() * (1 - previous) / (1 - product) * x
      fromPosterior.append(Float(mean + deviation * z))
      let same = (x - beta / (1 - product).squareRoot() * e) / (1 - beta).squareRoot()
      reparameterized.append(Float(same + deviation * z))
    }
    #expect(Difference.relative(found, fromPosterior) < 2e-5)
    #expect(Difference.relative(found, reparameterized) < 2e-5)
  }

  /// x_{t-k} = √ᾱ_{t-k} x̂_0 + √(1 - ᾱ_{t-k}) ε, over 50 timesteps.
  @Test(arguments: [950, 500, 50])
  func implicit(timestep: Int) throws {
    let (product, next) = (Self.schedule.products[timestep], Self.schedule.products[timestep - 50])
    var random: any RandomSource = TorchRandom(seed: 7)
    let found = Self.step(try Self.made(.ddim, steps: 20), at: 19 - timestep / 50, &random)
    let expected = zip(Self.latents, Self.prediction).map { latent, prediction in
      let (x, e) = (Double(latent), Double(prediction))
      let original = (x - (1 - product).squareRoot() * e) / product.squareRoot()
      return Float(next.squareRoot() * original + (1 - next).squareRoot() * e)
    }
    #expect(Difference.relative(found, expected) < 2e-5)
  }
}
