// What a caller is told when it asked for something that it cannot have.
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }

  static invalid = () => new Refused(400, 'validation_failed', 'Validation error');
  static unknownParticipant = () => new Refused(400, 'validation_failed', 'One or more participants not found');
  static noConversation = () => new Refused(404, 'not_found', 'Conversation not found');
  static accountExists = () => new Refused(409, 'conflict', 'User with this email or username already exists');
  static clientIdReused = () => new Refused(409, 'client_id_reused', 'Client id reused');
}
