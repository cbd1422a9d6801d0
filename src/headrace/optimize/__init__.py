"""From a registered model version to a package that runs fast and provably answers the same.

Called by release when a version is deployed. Model code runs in a confined child process alone.
Decides which conversion is accepted: labels exact, scores within tolerance, on real rows and at split points.
Never register, publish or serve here.
"""
