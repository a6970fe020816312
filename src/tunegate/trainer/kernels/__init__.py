"""Steps of autograd that do in few passes over memory what models spell out in many; exact up to rounding."""
