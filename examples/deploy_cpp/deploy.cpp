// A port's whole control step in C++: ONNX Runtime and nothing else.
//
// `deploy_cpp PORT` replays the port's stored sample as its self-test; it exits with 1 if a target differs, 2 if
// it can't be run.
// Take `DeployedPolicy` into your robot's program: signals by name in, joint targets out, reset at every start.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Row = std::vector<double>;
using Rows = std::map<std::string, Row>;

class DeployedPolicy {
 public:
  explicit DeployedPolicy(const std::string& path) : session_(nullptr) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    session_ = Ort::Session(env_, path.c_str(), options);
    for (size_t i = 0; i < session_.GetInputCount(); ++i) inputs_.push_back(described(i, true));
    for (size_t i = 0; i < session_.GetOutputCount(); ++i) outputs_.push_back(described(i, false).name);
    // "INPUT<tab>OUTPUT" of each state, a line each. All else that the graph says of itself is JSON under "deploy".
    auto text = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("deploy_states", allocator_);
    if (!text) throw std::runtime_error(path + ": is no deploy.onnx of a port");
    std::istringstream lines(text.get());
    for (std::string in, out; std::getline(lines, in, '\t') && std::getline(lines, out);) states_[in] = out;
    // The control period, then of each joint what is plausible: NAME, unit, lowest, highest, fastest, held; tabs between.
    text = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("deploy_joints", allocator_);
    if (!text) throw std::runtime_error(path + ": says nothing of its joints; export the port again");
    lines = std::istringstream(text.get());
    std::string line, cell;
    if (std::getline(lines, line)) period_ = std::strtod(line.c_str(), nullptr);
    while (std::getline(lines, line)) {
      std::vector<std::string> cells;
      for (std::istringstream row(line); std::getline(row, cell, '\t');) cells.push_back(cell);
      if (cells.size() != 6) throw std::runtime_error(path + ": has joints of another version; export the port again");
      const auto number = [&](size_t i) { return std::strtod(cells[i].c_str(), nullptr); };
      joints_.push_back({cells[0], cells[1], number(2), number(3), number(4), cells[5] == "1"});
    }
  }

  // The input whose name begins a column of the sample: names may hold a slash, so the longest that fits.
  std::string signal_of(const std::string& column) const {
    std::string found = column.rfind("joint_target/", 0) == 0 ? "joint_target" : "";
    for (const auto& input : inputs_)
      if (!states_.count(input.name) && input.name.size() > found.size() && column.rfind(input.name + "/", 0) == 0)
        found = input.name;
    if (found.empty() && column != "reset") throw std::runtime_error("deploy_sample.csv: '" + column + "' is no signal");
    return found.empty() ? column : found;
  }

  // Before the first step of every episode: every state to zeros.
  void reset() {
    held_.clear();
    place_.clear();
    speed_.clear();
    steps_ = way_ = told_ = 0.0;
    for (const auto& input : inputs_)
      if (states_.count(input.name)) held_[input.name].assign(input.bytes(), 0);
  }

  // Joint targets in the order of the graph's joint_names, of signals by name.
  Row operator()(const Rows& signals) {
    if (held_.size() != states_.size()) throw std::runtime_error("call reset() before the first step");
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> given;
    std::vector<const char*> in, out;
    for (const auto& input : inputs_) {
      const bool state = states_.count(input.name) > 0;
      if (!state && (!signals.count(input.name) || signals.at(input.name).size() != input.numbers()))
        throw std::runtime_error(input.name + ": " + std::to_string(input.numbers()) + " numbers are read");
      if (!state) check(input.name, signals.at(input.name));
      void* data = state ? static_cast<void*>(held_[input.name].data())
                         : const_cast<double*>(signals.at(input.name).data());
      given.push_back(Ort::Value::CreateTensor(memory, data, input.bytes(), input.shape.data(), input.shape.size(), input.type));
      in.push_back(input.name.c_str());
    }
    check_units(signals);
    for (const auto& name : outputs_) out.push_back(name.c_str());
    auto found = session_.Run(Ort::RunOptions{nullptr}, in.data(), given.data(), in.size(), out.data(), out.size());
    Row target;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const auto* data = static_cast<const char*>(found[i].GetTensorRawData());
      for (auto& [name, left] : states_)
        if (left == outputs_[i]) std::copy(data, data + held_[name].size(), held_[name].begin());
      if (outputs_[i] == "joint_target") {
        const auto* numbers = reinterpret_cast<const double*>(data);
        target.assign(numbers, numbers + found[i].GetTensorTypeAndShapeInfo().GetElementCount());
      }
    }
    for (double number : target)
      if (!std::isfinite(number)) throw std::runtime_error("a target is no number: a signal is none, or diverged");
    return target;
  }

 private:
  struct Described {
    std::string name;
    std::vector<int64_t> shape;
    ONNXTensorElementDataType type;
    size_t numbers() const {
      size_t count = 1;
      for (int64_t size : shape) count *= static_cast<size_t>(size);
      return count;
    }
    size_t bytes() const { return numbers() * (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE ? 8 : 4); }
  };

  static void check(const std::string& name, const Row& row) {
    double squares = 0.0;
    for (double number : row) {
      if (!std::isfinite(number)) throw std::runtime_error(name + ": has what is no number");
      squares += number * number;
    }
    if (name == "base_quat" && std::abs(std::sqrt(squares) - 1.0) > 1e-2)
      throw std::runtime_error(name + ": is no unit quaternion w, x, y, z");
  }

  struct Joint {
    std::string name, unit;
    double low, high, fastest;
    bool held;  // driven to positions; a wheel may start a new turn
  };

  // Degrees, encoder ticks, millimetres and degrees per second are refused, by what is plausible of each joint.
  void check_units(const Rows& signals) {
    const auto found = [&](const char* name) {
      return signals.count(name) && signals.at(name).size() == joints_.size() ? signals.at(name) : Row();
    };
    const Row place = found("joint_pos"), speed = found("joint_vel");
    for (size_t i = 0; i < joints_.size(); ++i) {
      const auto& joint = joints_[i];
      const auto refuse = [&](const std::string& what, double number, const std::string& why) {
        throw std::runtime_error(what + " of " + joint.name + " is " + std::to_string(number) + why);
      };
      if (!speed.empty() && std::abs(speed[i]) > joint.fastest)
        refuse("joint_vel", speed[i], ", faster than plausible: is it in degrees per second or mm per second?");
      if (place.empty()) continue;
      if (place[i] < joint.low || place[i] > joint.high)
        refuse("joint_pos", place[i], " " + joint.unit + ", not plausible: is it in degrees, encoder ticks or mm?");
      if (!joint.held) continue;
      const double step = place_.empty() ? 0.0 : std::abs(place[i] - place_[i]);
      if (step > joint.fastest * period_)
        refuse("joint_pos", place[i], " " + joint.unit + ", a step of " + std::to_string(step) +
               ": is it in degrees, encoder ticks or mm? After a pause, reset()");
      if (speed.empty()) continue;
      way_ += step;
      told_ += 0.5 * std::abs(speed[i] + (speed_.empty() ? speed[i] : speed_[i])) * period_;
    }
    place_ = place, speed_ = speed, steps_ += 1.0;
    // A joint that stands still trembles, and so does its measurement: 0.3 rad/s, and 0.003 rad a step.
    const double still = steps_ * static_cast<double>(place.size()) * (0.3 * period_ + 0.003);
    if (steps_ >= 25.0 && std::abs(told_ - way_) > 7.0 * std::min(told_, way_) + still)
      throw std::runtime_error("since the reset the joints went " + std::to_string(way_) + " in all by joint_pos, " +
                               std::to_string(told_) + " by joint_vel: one of them is not in SI units");
  }

  Described described(size_t i, bool input) {
    auto name = input ? session_.GetInputNameAllocated(i, allocator_) : session_.GetOutputNameAllocated(i, allocator_);
    auto kind = input ? session_.GetInputTypeInfo(i) : session_.GetOutputTypeInfo(i);
    auto info = kind.GetTensorTypeAndShapeInfo();
    auto shape = info.GetShape();
    std::replace_if(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }, 1);  // one robot
    return {name.get(), shape, info.GetElementType()};
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR};
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::Session session_;
  std::vector<Described> inputs_;
  std::vector<std::string> outputs_;
  std::map<std::string, std::string> states_;
  std::map<std::string, std::vector<char>> held_;
  std::vector<Joint> joints_;
  double period_ = 0.0, steps_ = 0.0, way_ = 0.0, told_ = 0.0;
  Row place_, speed_;
};

int main(int count, char** words) try {
  if (count != 2) throw std::runtime_error("usage: deploy_cpp PORT");
  for (const std::string name : {"/deploy.onnx", "/deploy_sample.csv"})
    if (!std::ifstream(words[1] + name))
      throw std::runtime_error(words[1] + name + ": is missing; give the folder that policy-port export --deploy wrote");
  DeployedPolicy policy(std::string(words[1]) + "/deploy.onnx");
  std::ifstream file(std::string(words[1]) + "/deploy_sample.csv");
  std::vector<std::string> columns;
  std::string line, cell;
  std::getline(file, line);
  for (std::istringstream head(line); std::getline(head, cell, ',');) columns.push_back(policy.signal_of(cell));
  double worst = 0.0;
  size_t steps = 0;
  for (; std::getline(file, line); ++steps) {
    Rows by;
    std::istringstream cells(line);
    for (const auto& column : columns) {
      if (!std::getline(cells, cell, ',')) throw std::runtime_error("deploy_sample.csv is cut short");
      by[column].push_back(std::strtod(cell.c_str(), nullptr));
    }
    if (by["reset"][0] != 0.0) policy.reset();
    const Row stored = by["joint_target"], told = policy(by);
    if (stored.size() != told.size()) throw std::runtime_error("deploy_sample.csv is another graph's");
    for (size_t i = 0; i < stored.size(); ++i) {
      if (!std::isfinite(stored[i])) throw std::runtime_error("deploy_sample.csv has a target that is no number");
      worst = std::max(worst, std::abs(told[i] - stored[i]));
    }
  }
  if (!steps) throw std::runtime_error("the port has no deploy_sample.csv");
  std::printf("largest difference of a target from the port's sample: %.3g\n", worst);
  return worst < 1e-5 ? 0 : 1;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "%s\n", problem.what());
  return 2;
}
