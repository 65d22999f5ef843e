import ArgumentParser
import Diffusion
import OrderedJSON
import Pictures

extension PictureFormat: ExpressibleByArgument {
  public init?(argument: String) {
    guard let name = try? JobField.format.value(of: argument).string else { return nil }
    self.init(choice: name)
  }
}
