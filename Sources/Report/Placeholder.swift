import Checkpoint
import ModelFormats

extension Component {
  func publishedName(of tensor: Tensor) -> String { tensor.name }
}
