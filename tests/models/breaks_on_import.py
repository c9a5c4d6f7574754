raise ArithmeticError("two lines\nin this message")
